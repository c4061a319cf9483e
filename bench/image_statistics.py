"""Speed and memory of the image statistics on real MRI, against loops that only read and decode.

    python bench/image_statistics.py /path/to/brain-tumor-mri

The folder holds images in any sub-folders. All loops use the same threads, chunks and bucket and take turns, so that
a busy machine is busy for all. Prints a table, then one JSON line. Exits 1 when the statistics run at less than 70 %
of the speed of the bare decode loop, or when memory grows by more than the rows and some kilobytes an image.

Not named after the module: `statistics.py` in a script's folder would hide Python's own module from every script there.
"""

import argparse
import io
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from rich.console import Console
from rich.table import Table

from brain_assets.ml.ingestion import in_threads
from brain_assets.ml.statistics import image_statistics
from brain_core.imaging import decode
from brain_core.storage import LocalBucket

TARGET_SPEED = 0.70
MAX_EXTRA_BYTES = 4_096
"""Memory an image may take beyond its row; a decoded image that is kept takes 50,176 bytes."""

CHUNK_IMAGES = 16
KIB = 1 if sys.platform == "darwin" else 1024


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    bucket = LocalBucket(options.data.resolve())
    manifest = manifest_of(bucket)
    if options.memory_of:
        print(json.dumps(memory_of(bucket, manifest[: options.memory_of])))
        return 0
    figures = speed(bucket, manifest, options.repeats) | memory(options.data, len(manifest))
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3f}" if isinstance(value, float) else str(value))
    Console().print(table)
    print(json.dumps(figures))
    return 0 if figures["is_fast_enough"] and figures["is_memory_bounded"] else 1


def manifest_of(bucket: LocalBucket) -> pd.DataFrame:
    """All images of the folder, in a fixed order that mixes the classes."""
    keys = [key for key in bucket.keys("") if key.lower().endswith((".jpg", ".jpeg", ".png"))]
    manifest = pd.DataFrame({"key": keys, "label": "", "decodes": True})
    return manifest.sample(frac=1, random_state=0, ignore_index=True)


def speed(bucket: LocalBucket, manifest: pd.DataFrame, repeats: int) -> dict[str, Any]:
    """Each loop in turn; medians over the repeats, after one round that only warms up."""
    loops = {
        "pillow": lambda: bare(lambda key: pillow_grey(bucket.read(key)), manifest),
        "decode": lambda: bare(lambda key: decode(bucket.read(key)).grey, manifest),
        "statistics": lambda: image_statistics(bucket, manifest),
    }
    rounds = [{name: timed(loop) for name, loop in loops.items()} for _ in range(1 + repeats)][1:]
    figures: dict[str, Any] = {"images": len(manifest), "repeats": repeats}
    for name in loops:
        figures[f"{name}_images_per_s"] = statistics.median(len(manifest) / times[name][0] for times in rounds)
        figures[f"{name}_cpu_us_per_image"] = statistics.median(
            times[name][1] / len(manifest) * 1e6 for times in rounds
        )
    for name in ("pillow", "decode"):
        figures[f"speed_against_{name}"] = statistics.median(
            times[name][0] / times["statistics"][0] for times in rounds
        )
        figures[f"cpu_speed_against_{name}"] = statistics.median(
            times[name][1] / times["statistics"][1] for times in rounds
        )
    return figures | {"is_fast_enough": figures["speed_against_decode"] >= TARGET_SPEED}


def timed(loop: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    loop()
    return time.perf_counter() - clock, time.process_time() - processor


def bare(read: Callable[[str], object], manifest: pd.DataFrame) -> None:
    """Read and decode every image in the same threads and chunks as the statistics; keep nothing."""
    keys = manifest["key"].tolist()
    chunks = [keys[start : start + CHUNK_IMAGES] for start in range(0, len(keys), CHUNK_IMAGES)]

    def read_chunk(chunk: list[str]) -> None:
        for key in chunk:
            read(key)

    for _ in in_threads(read_chunk, chunks):
        pass


def pillow_grey(data: bytes) -> "np.ndarray[Any, Any]":
    """The least that gives grey pixels: no limits, no orientation, no colour check."""
    return np.array(Image.open(io.BytesIO(data)).convert("L"))


def memory(data: Path, images: int) -> dict[str, Any]:
    """Peak memory of a fresh process at n and at 2n images."""
    half, whole = (_child(data, count) for count in (images // 2, images // 2 * 2))
    grown = whole["peak_bytes"] - half["peak_bytes"]
    extra = (grown - (whole["table_bytes"] - half["table_bytes"])) / (images // 2)
    return {
        "peak_mib_at_n": half["peak_bytes"] / 2**20,
        "peak_mib_at_2n": whole["peak_bytes"] / 2**20,
        "table_mib_at_2n": whole["table_bytes"] / 2**20,
        "grown_bytes_per_image": grown / (images // 2),
        "extra_bytes_per_image": extra,
        "is_memory_bounded": extra <= MAX_EXTRA_BYTES,
    }


def memory_of(bucket: LocalBucket, manifest: pd.DataFrame) -> dict[str, int]:
    """Peak resident memory of this process after the statistics, and the size of the table."""
    table = image_statistics(bucket, manifest)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
    return {"peak_bytes": peak, "table_bytes": int(table.memory_usage(deep=True).sum())}


def _child(data: Path, images: int) -> dict[str, int]:
    command = [sys.executable, __file__, str(data), "--memory-of", str(images)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, int] = json.loads(result.stdout)
    return figures


if __name__ == "__main__":
    sys.exit(main())
