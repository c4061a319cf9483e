"""Speed of `brain predict` on files, against a bare loop of decode and ONNX Runtime on the same files and bundle.

    python bench/predict.py /path/to/data [--bundle DIR] [--images 1000] [--rounds 3]

The folder holds `brain-tumor-mri`. The bare loop reads, decodes and resizes each image and runs the model on it; two
ways to use all cores are tried, threads with one image each and one loop whose ONNX Runtime has all cores, and the
faster one counts. The command is the real one in a process of its own, and does what the loop leaves out: upload gate,
peak of the map, JSON. Loop and command take turns, so that a busy machine is busy for both.

Prints a table, then one JSON line. Exits 1 when the command, from its first answer on, is slower than 80 % of the loop.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from brain_cli.offline import FILES_AT_ONCE, bundled_folder
from brain_core.bundle import MODEL_FILE, OnnxSession, folder_files, load_files
from brain_core.cores import usable_cores
from brain_core.errors import BundleError
from brain_core.imaging import decode, model_tensor

TARGET_SPEED = 0.80
BRAIN = Path(sys.executable).parent / "brain"


@dataclass(frozen=True)
class Run:
    """One run over all images: seconds by the clock and of the processor, and until the first answer."""

    seconds: float
    cpu_seconds: float
    startup_s: float = 0.0


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("--bundle", type=Path, default=bundled_folder())
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    files = chosen_files(options.data.resolve() / "brain-tumor-mri", options.images)
    try:
        figures = measure(files, options.bundle.resolve(), options.rounds)
    except BundleError as exc:
        sys.exit(f"{exc} Name a bundle with --bundle DIR.")
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3f}" if isinstance(value, float) else str(value))
    Console().print(table)
    print(json.dumps(figures))
    return 0 if figures["is_fast_enough"] else 1


def chosen_files(root: Path, count: int) -> list[Path]:
    """So many images, evenly spaced over all, so that every class and source is among them."""
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    if len(paths) < count:
        sys.exit(f"{root} holds {len(paths)} images, not {count}. Name a folder that holds more, or lower --images.")
    return [paths[index * len(paths) // count] for index in range(count)]


def measure(files: list[Path], bundle: Path, rounds: int) -> dict[str, Any]:
    """All figures: medians over the rounds, after one short round that only warms up."""
    loops = bare_loops(bundle)
    for loop in loops.values():
        loop(files[:50])
    one_image = command(files[:1], bundle)
    results: list[tuple[dict[str, Run], Run]] = []
    for _ in range(rounds):
        bare = {name: timed(loop, files) for name, loop in loops.items()}
        results.append((bare, command(files, bundle)))
    figures: dict[str, Any] = {"images": len(files), "rounds": rounds, "cores": usable_cores()}
    figures["load_before"] = round(os.getloadavg()[0], 1)
    return figures | speeds(results, len(files)) | shares(results, len(files), one_image)


def bare_loops(bundle: Path) -> dict[str, Callable[[list[Path]], None]]:
    """Two ways to do nothing but decode and run the model, on all cores."""
    size = load_files(folder_files(bundle)).manifest.input_size
    model = (bundle / MODEL_FILE).read_bytes()
    single, parallel = OnnxSession(model, threads=1), OnnxSession(model, threads=usable_cores())

    def run(session: OnnxSession, path: Path) -> None:
        session.run(model_tensor(decode(path.read_bytes()), size)[None])

    def threads(files: list[Path]) -> None:
        with ThreadPoolExecutor(usable_cores()) as executor:
            for _ in executor.map(lambda path: run(single, path), files):
                pass

    def one_loop(files: list[Path]) -> None:
        for path in files:
            run(parallel, path)

    return {"threads": threads, "one_loop": one_loop}


def timed(loop: Callable[[list[Path]], None], files: list[Path]) -> Run:
    """One bare loop over the files."""
    clock, processor = time.perf_counter(), time.process_time()
    loop(files)
    return Run(time.perf_counter() - clock, time.process_time() - processor)


def command(files: list[Path], bundle: Path) -> Run:
    """`brain predict --json` on the files, in a process of its own; every answer is read as it comes."""
    arguments = [str(BRAIN), "predict", "--json", "--bundle", str(bundle), *map(str, files)]
    began, cpu_before = time.perf_counter(), children_cpu_s()
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        records, first = [process.stdout.readline()], time.perf_counter()
        records += process.stdout
    seconds = time.perf_counter() - began
    if process.returncode or len(records) != len(files) or not all("predicted_class" in line for line in records):
        sys.exit(f"`brain predict` ended with {process.returncode} after {len(records)} of {len(files)} answers.")
    return Run(seconds, children_cpu_s() - cpu_before, first - began)


def children_cpu_s() -> float:
    """Processor seconds of all processes that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def fastest(bare: dict[str, Run]) -> Run:
    """The faster one of the bare loops."""
    return min(bare.values(), key=lambda run: run.seconds)


def running_s(run: Run, images: int) -> float:
    """Seconds for all images without the start-up, which ends with the first answer.

    At that moment each core has nearly judged its first files: none of them is counted.
    """
    return (run.seconds - run.startup_s) * images / (images - FILES_AT_ONCE * usable_cores())


def speeds(results: list[tuple[dict[str, Run], Run]], images: int) -> dict[str, float]:
    """Images a second of each contestant, and the start-up."""
    figures = {
        f"bare_{name}_images_per_s": statistics.median(images / bare[name].seconds for bare, _ in results)
        for name in results[0][0]
    }
    figures["predict_images_per_s"] = statistics.median(images / running_s(run, images) for _, run in results)
    figures["predict_with_startup_images_per_s"] = statistics.median(images / run.seconds for _, run in results)
    figures["startup_s"] = statistics.median(run.startup_s for _, run in results)
    return figures


def shares(results: list[tuple[dict[str, Run], Run]], images: int, one_image: Run) -> dict[str, Any]:
    """The command against the faster loop of the same round: by the clock, and in processor time an image."""
    speed = statistics.median(fastest(bare).seconds / running_s(run, images) for bare, run in results)
    bare_ms = statistics.median(fastest(bare).cpu_seconds / images for bare, _ in results) * 1000
    cpu_s = statistics.median(run.cpu_seconds for _, run in results) - one_image.cpu_seconds
    predict_ms = cpu_s / (images - 1) * 1000
    return {
        "bare_cpu_ms_per_image": bare_ms,
        "predict_cpu_ms_per_image": predict_ms,
        "cpu_speed_against_bare": bare_ms / predict_ms,
        "startup_cpu_s": one_image.cpu_seconds,
        "speed_with_startup_against_bare": statistics.median(
            fastest(bare).seconds / run.seconds for bare, run in results
        ),
        "speed_against_bare": speed,
        "is_fast_enough": speed >= TARGET_SPEED,
    }


if __name__ == "__main__":
    sys.exit(main())
