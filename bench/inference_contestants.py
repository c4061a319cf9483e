"""What `bench/inference.py` measures in processes of their own: Keras on so many threads, and the start from cold.

    python bench/inference_contestants.py keras  BUNDLE IMAGES.npy THREADS RUNS   the bundle's own network
    python bench/inference_contestants.py original BUNDLE IMAGES.npy THREADS RUNS the replaced system's, random weights
    python bench/inference_contestants.py load   BUNDLE IMAGES.npy THREADS RUNS   load and answer once
    python bench/inference_contestants.py plain  BUNDLE OUT.onnx                  export without the mirrored image

Each prints one JSON line.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_core.bundle import folder_files, load_files, read_manifest


def keras(bundle: Path, images: Path, threads: int, runs: int) -> list[float]:
    """Milliseconds of `predict` for one image each, with the bundle's own weights."""
    from brain_assets.ml.export import calibrated_model

    _use_threads(threads)
    return _predict_times(calibrated_model(*_network(bundle)), np.load(images), runs)


def original(bundle: Path, images: Path, threads: int, runs: int) -> list[float]:
    """Milliseconds of `predict` for one image each, of the replaced system's network."""
    from brain_assets.ml.model import BASELINE, build_model

    _use_threads(threads)
    size = read_manifest(folder_files(bundle)).input_size
    return _predict_times(build_model(BASELINE, size), np.load(images), runs)


def load(bundle: Path, images: Path, threads: int, _runs: int) -> list[float]:
    """Milliseconds until a bundle is verified, loaded and has answered once, in a process that did nothing yet."""
    image = np.load(images)[:1]
    begun = time.perf_counter()
    load_files(folder_files(bundle), threads).predict(image)
    return [(time.perf_counter() - begun) * 1000]


def plain(bundle: Path, out: Path) -> list[float]:
    """Write the network without the mirrored image, exported like the bundle's in all else."""
    from brain_assets.ml import export

    export.mirror_averaged = _as_it_is
    weights, recipe = _network(bundle)
    out.write_bytes(export.export_onnx(export.calibrated_model(weights, recipe), recipe.input_size))
    return []


def _as_it_is(model: Any) -> Any:
    """The network as a layer of another one, as averaging makes it, for the names of the outputs are taken in it."""
    import keras

    images = keras.Input(model.input_shape[1:], dtype="uint8", name="images")
    return keras.Model(images, model(images))


def _network(bundle: Path) -> tuple[bytes, Any]:
    from brain_assets.ml.export import WEIGHTS_FILE, WeightsRecipe

    manifest = read_manifest(folder_files(bundle))
    weights = (bundle / WEIGHTS_FILE).read_bytes()
    return weights, WeightsRecipe(manifest.architecture, manifest.input_size, manifest.temperature)


def _use_threads(threads: int) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _predict_times(model: Any, images: NDArray[np.uint8], runs: int) -> list[float]:
    times_ms = []
    for index in range(-3, runs):
        image = images[index % len(images)][np.newaxis]
        begun = time.perf_counter()
        model.predict(image, verbose=0)
        times_ms.append((time.perf_counter() - begun) * 1000)
    return times_ms[3:]


CONTESTANTS = {"keras": keras, "original": original, "load": load, "plain": plain}


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    paths, numbers = [Path(one) for one in arguments[:2]], [int(one) for one in arguments[2:]]
    print(json.dumps(CONTESTANTS[name](*paths, *numbers)))
