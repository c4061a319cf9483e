"""Images augmented a second and core: ours, Keras' preprocessing layers, albumentations; the same images and changes.

    python bench/augment.py

Rotation, shift, shear, zoom, horizontal flip and nearest-pixel fill on 128 x 128 grey images. Each way is a process of
its own on one core; they take turns, and the median over the turns counts. Seconds are the processor's, so that other
work on the machine is not counted; the wall's are shown beside them. Albumentations runs in an environment that uv
makes and throws away. What the stored shards are good for is measured too: taking copies over, and all cores.
Prints a table, then one JSON line. Exits 1 when ours is slower than the faster of the two.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from brain_assets.asset_store import AssetStore, ImageSet
from brain_assets.ml.augmentation import AugmentationConfig
from brain_assets.ml.datasets import augmented_image_set
from brain_core.imaging import MODEL_SIZE
from brain_core.settings import child_environment
from brain_core.storage import LocalBucket

CONTESTANTS = Path(__file__).with_name("augment_contestants.py")
ALBUMENTATIONS = "albumentations==2.0.8"
LOCAL_UV = Path(__file__).resolve().parent.parent / ".tools/bin/uv"
NAMES = ("ours", "keras", "albumentations")


class Contestant:
    """A process that augments the images when it is told to."""

    def __init__(self, name: str, images: Path) -> None:
        self.name = name
        self.wall_s: list[float] = []
        self.processor_s: list[float] = []
        command = [*_python_of(name), str(CONTESTANTS), name, str(images)]
        environment = child_environment(
            TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", NO_ALBUMENTATIONS_UPDATE="1"
        )
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def __enter__(self) -> "Contestant":
        if self._answer() != "ready":
            raise SystemExit(f"{self.name} did not start: {self._process.communicate()[1][-2000:]}")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def take_turn(self) -> None:
        """Augment all images once."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        wall, processor = self._answer().split()
        self.wall_s.append(float(wall))
        self.processor_s.append(float(processor))

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    images = drawn_images(options.images)
    with tempfile.TemporaryDirectory(prefix="brain-") as folder:
        figures = compare(images, Path(folder), options.turns) | reuse(images, Path(folder), options.turns)
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.2f}" if isinstance(value, float) else str(value))
    Console().print(table)
    print(json.dumps(figures))
    return 0 if figures["ours_to_faster_rival"] >= 1 else 1


def drawn_images(count: int) -> NDArray[np.uint8]:
    """Smooth shapes with noise, uint8 (N, 128, 128, 1)."""
    rng = np.random.default_rng(0)
    images = np.empty((count, MODEL_SIZE, MODEL_SIZE, 1), np.uint8)
    for image in images:
        coarse = Image.fromarray(rng.integers(0, 200, (12, 12), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((MODEL_SIZE, MODEL_SIZE), Image.Resampling.BICUBIC))
        image[..., 0] = smooth + rng.integers(0, 20, smooth.shape, dtype=np.uint8)
    return images


def compare(images: NDArray[np.uint8], folder: Path, turns: int) -> dict[str, Any]:
    """Ours against the others, in turns."""
    path = folder / "images.npy"
    np.save(path, images)
    with ExitStack() as stack:
        contestants = [stack.enter_context(Contestant(name, path)) for name in NAMES]
        for _ in range(turns):
            for contestant in contestants:
                contestant.take_turn()
    figures: dict[str, Any] = {"images": len(images), "turns": turns}
    for contestant in contestants:
        rates = [len(images) / seconds for seconds in contestant.processor_s]
        figures[f"{contestant.name}_per_core_s"] = statistics.median(rates)
        figures[f"{contestant.name}_per_core_s_range"] = [round(min(rates)), round(max(rates))]
        figures[f"{contestant.name}_per_wall_s"] = len(images) / statistics.median(contestant.wall_s)
    rival = max(figures[f"{name}_per_core_s"] for name in NAMES[1:])
    return figures | {"ours_to_faster_rival": figures["ours_per_core_s"] / rival}


def reuse(images: NDArray[np.uint8], folder: Path, turns: int) -> dict[str, Any]:
    """All cores: making copies, and taking them from stored shards."""
    nothing = np.zeros(len(images), np.int64)
    originals = ImageSet(images, nothing, nothing, np.arange(len(images)).astype(np.str_))
    store = AssetStore(LocalBucket(folder))
    store.write("augmented", augmented_image_set(originals, AugmentationConfig()))
    earlier = store.read("augmented", ImageSet)
    made, taken = [], []
    for _ in range(turns):
        made.append(_seconds_to_copy(originals, None))
        taken.append(_seconds_to_copy(originals, earlier))
    return {
        "cores": os.cpu_count(),
        "all_cores_made_per_wall_s": len(images) / statistics.median(made),
        "all_cores_taken_over_per_wall_s": len(images) / statistics.median(taken),
    }


def _seconds_to_copy(originals: ImageSet, earlier: ImageSet | None) -> float:
    begun = time.perf_counter()
    augmented = augmented_image_set(originals, AugmentationConfig(), earlier)
    assert len(augmented.images[len(originals) :]) == len(originals)
    return time.perf_counter() - begun


def _python_of(name: str) -> list[str]:
    if name != "albumentations":
        return [sys.executable]
    uv = shutil.which("uv") or str(LOCAL_UV)
    return [
        uv,
        "run",
        "--quiet",
        "--no-project",
        "--isolated",
        "--python",
        sys.executable,
        "--with",
        ALBUMENTATIONS,
        "python",
    ]


if __name__ == "__main__":
    sys.exit(main())
