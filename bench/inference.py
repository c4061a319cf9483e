"""How fast and how large the model is: the bundle, Keras, and the replaced system's network; fp32 and int8.

    python bench/inference.py [DATA] [--bundle DIR]

Milliseconds for one image on one and on two threads (ONNX Runtime with the bundle, as serving runs it; Keras' `predict`
with the same weights; Keras' `predict` with the replaced system's network, whose random weights cost the same), images
a second in batches, the start from cold, the bundle's size, what static int8 quantisation and leaving out the mirrored
image would gain and cost. With DATA (`brain-tumor-mri`, `annotations.csv`) the images are held-out ones and labels tell
what is right; without, they are synthetic slices. The time of one image on one thread counts as the processor's, so
that other work on the machine is not counted; the wall's are shown beside it. Prints a table, then one JSON line. Exits
1 when a target is missed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measured_bundle import (
    LabelledImages,
    MeasuredBundle,
    add_bundle_option,
    annotated,
    balanced,
    components_in_turn,
    open_bundle,
    read_images,
)
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from brain_assets.ml.sources import SampleSource
from brain_core.bundle import CONTENT_FILES, MANIFEST_FILE, MODEL_FILE, OnnxSession
from brain_core.imaging import decode, model_tensor
from brain_core.labels import CLASSES
from brain_core.settings import child_environment

CONTESTANTS = Path(__file__).with_name("inference_contestants.py")
THREADS = (1, 2)
BATCHES = (1, 8, 32)
WARM_UP = 10
CALIBRATION_IMAGES = 100
JUDGED_IMAGES = 400
COLD_LOADS = 5
MAX_BUNDLE_BYTES = 10e6
MAX_COLD_LOAD_MS = 1000.0
MAX_IMAGE_MS = {"plain": 12.0, "mirrored": 18.0}


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="real MRI; without it synthetic slices are used")
    parser.add_argument("--runs", type=int, default=200, help="of ONNX Runtime; Keras has a quarter of them")
    add_bundle_option(parser)
    options = parser.parse_args()
    bundle = open_bundle(options.bundle)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(bundle, options.data, options.runs, Path(folder))
    missed = missed_targets(figures)
    show(figures, missed)
    print(json.dumps({**figures, "missed": missed}))
    return 1 if missed else 0


def measure(bundle: MeasuredBundle, data: Path | None, runs: int, folder: Path) -> dict[str, Any]:
    """All figures."""
    calibration, judged = real_images(bundle, data) if data else sample_images(bundle.manifest.input_size)
    images = folder / "images.npy"
    np.save(images, judged.images[:50])
    model = (bundle.folder / MODEL_FILE).read_bytes()
    plain, int8 = folder / "plain.onnx", folder / "int8.onnx"
    contestant("plain", bundle.folder, plain)
    quantise(bundle.folder / MODEL_FILE, int8, calibration)
    variants = {"fp32": model, "int8": int8.read_bytes(), "without the mirrored image": plain.read_bytes()}
    return {
        "images": "held-out MRI" if data else "synthetic slices",
        "architecture": bundle.manifest.architecture,
        "input_size": bundle.manifest.input_size,
        "load_average": os.getloadavg()[0],
        "is_mirror_averaged": is_mirror_averaged(model, judged.images[:8]),
        "bundle_bytes": sum((bundle.folder / name).stat().st_size for name in (*CONTENT_FILES, MANIFEST_FILE)),
        "weights_bytes": sum(path.stat().st_size for path in bundle.folder.glob("*.h5")),
        "cold_load_ms": statistics.median(
            contestant("load", bundle.folder, images, 1, 1)[0] for _ in range(COLD_LOADS)
        ),
        "one_image": one_image(model, bundle, images, runs),
        "images_a_second": {_spoken(threads): throughput(model, judged.images, threads) for threads in THREADS},
        "variants": {name: variant(one, model, judged, runs) for name, one in variants.items()},
    }


def real_images(bundle: MeasuredBundle, data: Path) -> tuple[NDArray[np.uint8], LabelledImages]:
    """Images to calibrate with (validation part) and to judge on (test part)."""
    rows = annotated(bundle, data)
    size = bundle.manifest.input_size
    known, held_out = (components_in_turn(rows[rows["part"] == part]) for part in ("validation", "test"))
    return (
        read_images(balanced(known, CALIBRATION_IMAGES), size).images,
        read_images(balanced(held_out, JUDGED_IMAGES), size),
    )


def sample_images(size: int) -> tuple[NDArray[np.uint8], LabelledImages]:
    """Synthetic slices in place of real ones."""
    source = SampleSource(count=CALIBRATION_IMAGES * 2, seed=3)
    listed = list(source.list())
    images = np.stack([model_tensor(decode(source.read(one)), size) for one in listed])
    labels = np.array([CLASSES.index(one.label) for one in listed], dtype=np.int64)
    judged = slice(CALIBRATION_IMAGES, None)
    unknown = np.full((len(labels[judged]), 4), np.nan)
    return images[:CALIBRATION_IMAGES], LabelledImages(images[judged], labels[judged], unknown)


def contestant(name: str, *arguments: object) -> list[float]:
    """The numbers that a process of its own prints."""
    command = [sys.executable, str(CONTESTANTS), name, *map(str, arguments)]
    environment = child_environment(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{name} failed: {result.stderr[-2000:]}")
    numbers: list[float] = json.loads(result.stdout.splitlines()[-1])
    return numbers


class CalibrationImages:
    """Images for `onnxruntime.quantization`, one at a time."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._images: Iterator[NDArray[np.uint8]] = iter(images)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """The next image; None at the end."""
        image = next(self._images, None)
        return None if image is None else {"images": image[np.newaxis]}


def quantise(model: Path, out: Path, images: NDArray[np.uint8]) -> None:
    """Static int8 quantisation of the convolutions: ranges of the activations from `images`, weights by channel."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = out.with_name("prepared.onnx")
    quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(out),
        CalibrationImages(images),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def is_mirror_averaged(model: bytes, images: NDArray[np.uint8]) -> bool:
    """Does every image have the same answer as its mirror image, to the rounding of a float32?"""
    session = OnnxSession(model)
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    return bool(np.allclose(session.run(images)[0], session.run(mirrored)[0], atol=1e-4))


def one_image(model: bytes, bundle: MeasuredBundle, images: Path, runs: int) -> dict[str, dict[str, float]]:
    """Milliseconds for one image, by runtime and threads."""
    found = {}
    for threads in THREADS:
        found[f"bundle, {_spoken(threads)}"] = onnx_times(model, np.load(images), threads, runs)
        for name, title in (("keras", "Keras predict"), ("original", "replaced system's network, Keras predict")):
            times_ms = contestant(name, bundle.folder, images, threads, runs // 4)
            found[f"{title}, {_spoken(threads)}"] = summary(times_ms)
    return found


def onnx_times(model: bytes, images: NDArray[np.uint8], threads: int, runs: int) -> dict[str, float]:
    """Milliseconds for one image: median, 95th percentile and, on one thread, the mean of the processor's own."""
    session = OnnxSession(model, threads)
    times_ms = []
    used_s = 0.0
    for index in range(-WARM_UP, runs):
        image = images[index % len(images)][np.newaxis]
        if index == 0:
            used_s = time.thread_time()
        begun = time.perf_counter()
        session.run(image)
        times_ms.append((time.perf_counter() - begun) * 1000)
    own = {"processor_ms": (time.thread_time() - used_s) / runs * 1000} if threads == 1 else {}
    return {**summary(times_ms[WARM_UP:]), **own}


def _spoken(threads: int) -> str:
    return f"{threads} thread" if threads == 1 else f"{threads} threads"


def summary(times_ms: list[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    return {"p50_ms": statistics.median(times_ms), "p95_ms": statistics.quantiles(times_ms, n=20)[-1]}


def throughput(model: bytes, images: NDArray[np.uint8], threads: int) -> dict[str, float]:
    """Images a second by batch size, the median of five rounds of at least 64 images."""
    session = OnnxSession(model, threads)
    found = {}
    for size in BATCHES:
        batch = np.resize(images, (size, *images.shape[1:]))
        rounds = [_images_a_second(session, batch, max(2, 64 // size)) for _ in range(6)]
        found[f"batch {size}"] = statistics.median(rounds[1:])
    return found


def _images_a_second(session: OnnxSession, batch: NDArray[np.uint8], times: int) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        session.run(batch)
    return times * len(batch) / (time.perf_counter() - begun)


def variant(model: bytes, shipped: bytes, judged: LabelledImages, runs: int) -> dict[str, float]:
    """Size, speed and answers of a model against those of the shipped one.

    The classes are balanced and patients taken in turn: what is right here is no figure of a model card.
    """
    answers, reference = (probabilities(one, judged.images) for one in (model, shipped))
    classes = answers.argmax(axis=-1)
    return {
        "bytes": len(model),
        **onnx_times(model, judged.images, 1, runs),
        "judged": len(classes),
        "labels_that_flip": int((classes != reference.argmax(axis=-1)).sum()),
        "largest_difference": float(np.abs(answers - reference).max()),
        "right": float((classes == judged.labels).mean()),
    }


def probabilities(model: bytes, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The answers, float32 (N, 4)."""
    session = OnnxSession(model, THREADS[-1])
    return np.concatenate([session.run(images[start : start + 32])[0] for start in range(0, len(images), 32)])


def missed_targets(figures: dict[str, Any]) -> list[str]:
    """What is above its limit, in words."""
    limit_ms = MAX_IMAGE_MS["mirrored" if figures["is_mirror_averaged"] else "plain"]
    one_ms = figures["one_image"]["bundle, 1 thread"]["processor_ms"]
    targets = [
        ("bundle in bytes", figures["bundle_bytes"], MAX_BUNDLE_BYTES),
        ("cold load in ms", figures["cold_load_ms"], MAX_COLD_LOAD_MS),
        ("one image on one thread in ms", one_ms, limit_ms),
    ]
    return [f"{name}: {value:.1f}, at most {limit:.1f}" for name, value, limit in targets if value > limit]


def show(figures: dict[str, Any], missed: list[str]) -> None:
    """Print the tables."""
    console = Console()
    table = Table("one image", "p50 ms", "p95 ms", "processor ms")
    for name, times in figures["one_image"].items():
        own = times.get("processor_ms")
        table.add_row(name, f"{times['p50_ms']:.1f}", f"{times['p95_ms']:.1f}", "" if own is None else f"{own:.1f}")
    console.print(table)
    table = Table("images a second", *(f"batch {size}" for size in BATCHES))
    for name, rates in figures["images_a_second"].items():
        table.add_row(name, *(f"{rate:.0f}" for rate in rates.values()))
    console.print(table)
    table = Table("model", "MB", "p50 ms", "processor ms", "labels that flip", "right", title=figures["images"])
    for name, one in figures["variants"].items():
        flips = f"{one['labels_that_flip']} of {one['judged']}"
        times = (f"{one[name_of]:.1f}" for name_of in ("p50_ms", "processor_ms"))
        table.add_row(name, f"{one['bytes'] / 1e6:.2f}", *times, flips, f"{one['right']:.3f}")
    console.print(table)
    sizes = f"bundle {figures['bundle_bytes'] / 1e6:.2f} MB, Keras weights {figures['weights_bytes'] / 1e6:.2f} MB"
    console.print(f"{sizes}, cold load {figures['cold_load_ms']:.0f} ms, load average {figures['load_average']:.1f}")
    for target in missed:
        console.print(f"[red]missed: {target}[/red]")


if __name__ == "__main__":
    sys.exit(main())
