"""How well and how fast copies are found on the public data set, against comparing everything, and how the cost grows.

    python bench/duplicates.py /path/to/data

The folder holds `brain-tumor-mri` (public layout) and `annotations.csv` (`figshare_slice`, `patient`).
Prints a table, then one JSON line. Exits 1 when a target is missed.
"""

import argparse
import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from brain_assets.ml.annotations import annotate, read_annotations
from brain_assets.ml.duplicates import MIN_CORRELATION, Duplicates, find_duplicates
from brain_assets.ml.fingerprints import (
    ORIENTATIONS,
    standard_pixels,
    turned,
)
from brain_assets.ml.leakage import published_split_leakage
from brain_assets.ml.patients import components, patients_of, public_patients, with_public
from brain_core.descriptors import detail, thumbnail
from brain_core.imaging import decode, encode_jpeg

PLANTED = 400
SYNTHETIC = (12_500, 25_000, 50_000, 100_000)
SYNTHETIC_COPIES = 0.1
ALIKE = 0.998
TARGETS: dict[str, Callable[[float], bool]] = {
    "exact_recall": lambda value: value == 1,
    "alike_recall": lambda value: value >= 0.995,
    "planted_recall": lambda value: value >= 0.99,
    "same_slice_share": lambda value: value >= 0.995,
    "time_over_decoding": lambda value: value <= 2,
    "peak_mib": lambda value: value <= 1024,
    "synthetic_recall": lambda value: value >= 0.99,
    "growth_exponent": lambda value: value <= 1.5,
}


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data.resolve()
    figures, tables = measure(data)
    table = Table("figure", "value", "")
    for name, value in figures.items():
        verdict = ("met" if TARGETS[name](value) else "MISSED") if name in TARGETS else ""
        table.add_row(name, f"{value:.4f}" if isinstance(value, float) else str(value), verdict)
    console = Console(width=150)
    console.print(table)
    for title, rows in tables.items():
        console.print(title, rows.to_string(index=False), sep="\n")
    print(json.dumps(figures))
    return 0 if all(met(figures[name]) for name, met in TARGETS.items()) else 1


def measure(data: Path) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """All figures, and the tables behind some of them."""
    statistics, decode_s, fingerprint_s = described(data / "brain-tumor-mri")
    begun = time.perf_counter()
    found = find_duplicates(statistics)
    search_s = time.perf_counter() - begun
    figures: dict[str, Any] = {"images": len(statistics), "decode_s": decode_s}
    figures |= {"fingerprint_s": fingerprint_s, "search_s": search_s}
    figures["time_over_decoding"] = (fingerprint_s + search_s) / decode_s
    figures |= {"peak_mib": peak_mib(), "links": len(found.links), "copies": int(found.links["is_copy"].sum())}
    figures |= group_sizes(found.groups)
    figures |= recall(statistics, found)
    figures["planted_recall"] = planted_recall(data / "brain-tumor-mri", statistics)
    known = annotations_of(data, statistics)
    agreement, others = slice_agreement(found.links, known)
    figures |= agreement
    growth = synthetic_growth(statistics)
    figures["synthetic_recall"] = float(growth["recall"].min())
    slope = np.polyfit(np.log(growth["images"]), np.log(growth["cpu_seconds"]), 1)[0]
    figures |= {"growth_exponent": float(slope), "synthetic_peak_mib": peak_mib()}
    patients = patients_of(with_public(known, public_patients(statistics)))
    leakage = published_split_leakage(manifest_of(statistics), found.groups, patients)
    together = components(found.groups, patients)["component"].value_counts()
    figures |= {"components": len(together), "largest_component": int(together.max())}
    tables = {"Copies with different slices": others, "Growth": growth, "Leakage": leakage}
    return figures, tables


def described(root: Path) -> tuple[pd.DataFrame, float, float]:
    """What the duplicate finder needs of each image; seconds of decoding alone, and of making what is needed."""
    rows, decode_s, fingerprint_s = [], 0.0, 0.0
    for path in sorted(root.rglob("*.jp*g")):
        data = path.read_bytes()
        begun = time.perf_counter()
        grey = decode(data).grey
        decoded = time.perf_counter()
        rows.append((path.relative_to(root).as_posix(), *fingerprint_columns(grey)))
        decode_s, fingerprint_s = decode_s + decoded - begun, fingerprint_s + time.perf_counter() - decoded
    return pd.DataFrame(rows, columns=["key", "pixel_sha256", "thumbnail", "detail"]), decode_s, fingerprint_s


def fingerprint_columns(grey: NDArray[np.uint8]) -> tuple[str, bytes, bytes]:
    """`pixel_sha256`, `thumbnail` and `detail` of one image."""
    pixel_hash = hashlib.sha256(repr(grey.shape).encode() + grey.tobytes()).hexdigest()
    fine = detail(grey)
    return pixel_hash, thumbnail(grey, fine).tobytes(), fine.tobytes()


def manifest_of(statistics: pd.DataFrame) -> pd.DataFrame:
    """`key`, `label` and `published_split`, all from the path."""
    parts = statistics["key"].str.split("/", expand=True)
    return pd.DataFrame({"key": statistics["key"], "published_split": parts[0], "label": parts[1]})


def annotations_of(data: Path, statistics: pd.DataFrame) -> pd.DataFrame:
    """What is known of the images."""
    manifest = pd.DataFrame({"key": statistics["key"], "path": statistics["key"], "sha256": ""})
    return annotate(manifest, read_annotations((data / "annotations.csv").read_bytes())).table


def group_sizes(groups: pd.DataFrame) -> dict[str, int]:
    """How many groups of copies, and how large the largest are."""
    return {
        "groups": int(groups["group"].nunique()),
        "largest_group": int(groups["group_size"].max()),
        "related_groups": int(groups["related_group"].nunique()),
        "largest_related_group": int(groups["related_group"].value_counts().max()),
    }


def recall(statistics: pd.DataFrame, found: Duplicates) -> dict[str, float]:
    """Against comparing everything: equal pixels, and the pairs that correlate above 0.998 and above 0.98."""
    # An exact copy is linked through the first image of its pixels.
    position = pd.Series(range(len(statistics)), index=statistics["key"])
    original = statistics.groupby("pixel_sha256")["key"].transform("min").map(position).to_numpy()
    group = found.groups.set_index("key").loc[statistics["key"], "group"].to_numpy()
    ends = (position[found.links[side]].to_numpy() for side in ("key_a", "key_b"))
    first, second, correlation = all_pairs(statistics)
    is_found = np.isin(coded(original[first], original[second]), coded(*ends)) | (original[first] == original[second])
    alike = correlation > ALIKE
    return {
        "exact_copies": int((original != np.arange(len(original))).sum()),
        "exact_recall": float((group == group[original]).mean()),
        "alike_pairs": int(alike.sum()),
        "alike_recall": float(is_found[alike].mean()),
        "near_pairs": len(first),
        "near_recall": float(is_found.mean()),
    }


def coded(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number a pair, whatever its order."""
    return np.minimum(first, second) * 2**31 + np.maximum(first, second)


def all_pairs(statistics: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Every pair above the least correlation in any orientation, by comparing everything."""
    pixels = standard_pixels(thumbnails_of(statistics))
    flat = pixels.reshape(len(pixels), -1)
    parts = []
    for start in range(0, len(flat), 512):
        best = np.full((min(512, len(flat) - start), len(flat) - start), -1, dtype=np.float32)
        for index in range(len(ORIENTATIONS)):
            block = turned(pixels[start : start + 512], index).reshape(-1, flat.shape[1])
            np.maximum(best, block @ flat[start:].T, out=best)
        first, second = np.nonzero(np.triu(best > MIN_CORRELATION, 1))
        parts.append((first + start, second + start, best[first, second]))
    first, second, correlation = (np.concatenate(values) for values in zip(*parts, strict=True))
    return first, second, correlation


def thumbnails_of(statistics: pd.DataFrame) -> NDArray[np.uint8]:
    """Uint8 (N, 32, 32)."""
    return np.frombuffer(b"".join(statistics["thumbnail"]), dtype=np.uint8).reshape(-1, 32, 32)


def planted_recall(root: Path, statistics: pd.DataFrame) -> float:
    """Share of planted copies (mirrored, turned, resized, re-encoded, all at once) that join their original."""
    random = np.random.default_rng(0)
    chosen = statistics.sample(PLANTED, random_state=0)["key"]
    rows = []
    for number, key in enumerate(chosen):
        grey = decode((root / key).read_bytes()).grey
        side, quality = int(random.integers(96, 513)), int(random.integers(40, 96))
        copy = Image.fromarray(grey).resize((side, side), Image.Resampling.BICUBIC)
        is_mirrored, turns = divmod(number % len(ORIENTATIONS), 4)
        pixels = np.rot90(np.asarray(copy)[:, :: -1 if is_mirrored else 1], turns)
        rows.append((f"planted/{key}", *fingerprint_columns(decode(encode_jpeg(pixels, quality)).grey)))
    planted = pd.DataFrame(rows, columns=list(statistics.columns))
    groups = find_duplicates(pd.concat([statistics, planted])).groups.set_index("key")["group"]
    return float(np.mean([groups[key] == groups[f"planted/{key}"] for key in chosen]))


def slice_agreement(links: pd.DataFrame, known: pd.DataFrame) -> tuple[dict[str, float], pd.DataFrame]:
    """Share of the direct links between annotated images that join one slice, and the links that do not."""
    details = known.dropna(subset=["slice"]).set_index("key")[["slice", "patient"]]
    both = links.join(details, on="key_a", how="inner").join(details, on="key_b", how="inner", rsuffix="_b")
    is_same = both["slice"] == both["slice_b"]
    copies, near = both[both["is_copy"]], both[~both["is_copy"]]
    figures = {
        "annotated_copies": len(copies),
        "same_slice_share": float(is_same[copies.index].mean()),
        "annotated_near_links": len(near),
        "near_same_slice_share": float(is_same[near.index].mean()),
        "near_same_patient_share": float((near["patient"] == near["patient_b"]).mean()),
    }
    return figures, copies[~is_same[copies.index]]


def synthetic_growth(statistics: pd.DataFrame) -> pd.DataFrame:
    """Seconds for random images with the mean and the covariance of the real ones, a tenth of them turned copies."""
    real = thumbnails_of(statistics).reshape(len(statistics), -1).astype(np.float32)
    mean = real.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(real.T))
    spread = (directions * np.sqrt(np.maximum(variances, 0))).T.astype(np.float32)
    rows = [timed(synthetic(count, mean, spread), count) for count in SYNTHETIC]
    return pd.DataFrame(rows, columns=["images", "seconds", "cpu_seconds", "copies", "recall"])


def synthetic(count: int, mean: NDArray[np.float32], spread: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Thumbnails; the last tenth are slightly noisy, turned copies of the first."""
    random = np.random.default_rng(count)
    pixels = np.empty((count, len(mean)), dtype=np.uint8)
    for start in range(0, count, 2048):
        noise = random.standard_normal((min(2048, count - start), len(mean)), dtype=np.float32)
        pixels[start : start + 2048] = np.clip(mean + noise @ spread, 0, 255)
    copies = int(count * SYNTHETIC_COPIES)
    images = pixels.reshape(-1, 32, 32)
    for start in range(0, copies, 2048):
        chosen = images[start : min(start + 2048, copies)].astype(np.float32)
        noisy = turned(chosen, start // 2048 % 8) + random.normal(0, 1.5, chosen.shape)
        images[count - copies + start : count - copies + start + len(chosen)] = np.clip(noisy, 0, 255)
    return images


def timed(images: NDArray[np.uint8], count: int) -> tuple[int, float, float, int, float]:
    """Images, seconds, seconds of processor time, copies, and the share of them that is found."""
    keys = [f"{number:06d}" for number in range(count)]
    table = pd.DataFrame({"key": keys, "pixel_sha256": keys, "thumbnail": [image.tobytes() for image in images]})
    begun, begun_cpu = time.perf_counter(), time.process_time()
    groups = find_duplicates(table).groups.set_index("key")["group"].loc[keys].to_numpy()
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - begun_cpu
    copies = int(count * SYNTHETIC_COPIES)
    return count, seconds, cpu_seconds, copies, float((groups[:copies] == groups[count - copies :]).mean())


def peak_mib() -> float:
    """Peak resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


if __name__ == "__main__":
    sys.exit(main())
