"""The upload gate on real images: what the original's rule and ours let through, kind by kind.

    python bench/gate.py /path/to/data
    python bench/gate.py /path/to/data --bundle brain_assets/pretrained/bundle

The folder holds `brain-tumor-mri` (public layout), `annotations.csv` and `upload-gate` (`accept/<kind>/`,
`reject/<kind>/`). Without a bundle a gate is fitted as for one, on a split by copies and patients. Held out are the
images of its test part, those that are known to be CT (`ml/tomograms.py`) apart; the sample's slices are those that
`brain up` draws. Nothing here chooses anything: it judges.
Prints a table, then one JSON line. Exits 1 when a target is missed.
"""

import argparse
import io
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from brain_assets.ml.annotations import annotate, read_annotations
from brain_assets.ml.duplicates import find_duplicates
from brain_assets.ml.gate_fitting import build_gate
from brain_assets.ml.patients import components, patients_of, public_patients, with_public
from brain_assets.ml.phantoms import draw_sample
from brain_assets.ml.splits import assign_splits
from brain_assets.ml.statistics import image_statistics
from brain_assets.ml.tomograms import is_tomogram
from brain_cli.offline import FILES_AT_ONCE
from brain_core.bundle import GATE_FILE, SPLIT_FILE
from brain_core.errors import InvalidImage
from brain_core.gate import ORIGINAL_THRESHOLD, Gate, GateDecision
from brain_core.imaging import DecodedImage, decode
from brain_core.storage import LocalBucket
from brain_core.threads import own_threads_only

SPLIT_SEED = 1
HELD_OUT_CT = "held_out_ct"
TARGETS = {"held_out": 0.99, "sample": 0.95, "accept": 0.90, "reject": 0.95, "brain_ct": 0.85}
"""Least share of right answers: accepted of the first three, refused of the others."""

GATE_MS = 2.0
BATCH_MS = 0.6
"""Of the processor, an image, when as many are judged together as `brain predict` does."""
MAX_GATE_BYTES = 2 * 2**20


@dataclass(frozen=True)
class Kind:
    """Images of one kind, all to be accepted or all to be refused."""

    name: str
    is_mri: bool
    decisions: list[GateDecision]

    @property
    def accepted(self) -> float:
        """Share that our gate lets through."""
        return float(np.mean([decision.is_valid for decision in self.decisions]))

    @property
    def accepted_by_original(self) -> float:
        """Share that the replaced system's rule lets through."""
        return float(np.mean([d.histogram_correlation > ORIGINAL_THRESHOLD for d in self.decisions]))


class Clock:
    """The gate, and how long it took."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.ms: list[float] = []
        self.batch_ms: list[float] = []

    def judge(self, name: str, is_mri: bool, files: list[bytes]) -> Kind:
        """Decide about every file that decodes."""
        images = [image for image in map(_decoded, files) if image]
        decisions: list[GateDecision] = []
        for start in range(0, len(images), FILES_AT_ONCE):
            decisions += self._timed(images[start : start + FILES_AT_ONCE])
        return Kind(name, is_mri, decisions)

    def _timed(self, images: list[DecodedImage]) -> list[GateDecision]:
        begun_cpu = time.thread_time()
        decisions = self._gate.check_all(images)
        self.batch_ms.append((time.thread_time() - begun_cpu) * 1000 / len(images))
        begun = time.perf_counter()
        self._gate.check(images[0])
        self.ms.append((time.perf_counter() - begun) * 1000)
        return decisions


def _decoded(data: bytes) -> DecodedImage | None:
    try:
        return decode(data)
    except InvalidImage:
        return None


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("--bundle", type=Path, help="folder of a bundle whose gate is judged")
    options = parser.parse_args()
    data = options.data.resolve()
    statistics = read_statistics(data)
    gate, splits = bundled(options.bundle, statistics) if options.bundle else fitted(data, statistics)
    clock = Clock(gate)
    known_ct = set(statistics.loc[is_tomogram(statistics), "key"])
    with own_threads_only():
        kinds = [*held_out(clock, data, splits, known_ct), *others(clock, data / "upload-gate")]
    figures = figures_of(kinds, clock, gate)
    show(kinds, figures)
    print(json.dumps(figures))
    return 1 if figures["missed"] else 0


def read_statistics(data: Path) -> pd.DataFrame:
    """Statistics of the public images; keys are paths in the data folder."""
    paths = sorted(path.relative_to(data).as_posix() for path in (data / "brain-tumor-mri").rglob("*.jp*g"))
    labels = [Path(path).parent.name for path in paths]
    manifest = pd.DataFrame({"key": paths, "path": paths, "sha256": "", "label": labels, "decodes": True})
    return image_statistics(LocalBucket(data), manifest)


def bundled(folder: Path, statistics: pd.DataFrame) -> tuple[Gate, pd.DataFrame]:
    """The gate of a bundle, and the part of each image that the bundle's split knows by its pixels."""
    gate = Gate.from_bytes((folder / GATE_FILE).read_bytes())
    known = pd.read_parquet(io.BytesIO((folder / SPLIT_FILE).read_bytes()))[["pixel_sha256", "part"]]
    return gate, statistics[["key", "pixel_sha256"]].merge(known.drop_duplicates("pixel_sha256"), on="pixel_sha256")


def fitted(data: Path, statistics: pd.DataFrame) -> tuple[Gate, pd.DataFrame]:
    """A gate that is fitted now, on a split of its own."""
    manifest = statistics[["key", "label"]].assign(path=statistics["key"], sha256="")
    annotations = annotate(manifest, read_annotations((data / "annotations.csv").read_bytes())).table
    patients = patients_of(with_public(annotations, public_patients(statistics)))
    together = components(find_duplicates(statistics).groups, patients)
    splits = assign_splits(together, statistics[["key", "label", "pixel_sha256"]], seed=SPLIT_SEED)
    begun = time.perf_counter()
    gate = build_gate(statistics, splits)
    Console(stderr=True).print(f"Fitted in {time.perf_counter() - begun:.0f} s.")
    return gate, splits


def held_out(clock: Clock, data: Path, splits: pd.DataFrame, known_ct: set[str]) -> list[Kind]:
    """The test part without and with known CT, and the sample's slices."""
    keys = splits.loc[splits["part"] == "test", "key"]
    ct, mri = ([(data / key).read_bytes() for key in keys if (key in known_ct) == is_ct] for is_ct in (True, False))
    found = [clock.judge("held_out", True, mri), clock.judge("sample", True, [picture for _, picture in draw_sample()])]
    return [*found, clock.judge(HELD_OUT_CT, False, ct)] if ct else found


def others(clock: Clock, folder: Path) -> list[Kind]:
    """Other scanners' slices, and other images."""
    return [
        clock.judge(kind.name, side == "accept", [path.read_bytes() for path in sorted(kind.iterdir())])
        for side in ("accept", "reject")
        for kind in sorted((folder / side).iterdir())
    ]


def figures_of(kinds: list[Kind], clock: Clock, gate: Gate) -> dict[str, object]:
    """Shares of right answers, time, size, and the targets that are missed."""
    by_name = {kind.name: kind for kind in kinds}
    foreign = [d for k in kinds if k.is_mri and k.name not in {"held_out", "sample"} for d in k.decisions]
    other = [d for k in kinds if not k.is_mri and k.name != HELD_OUT_CT for d in k.decisions]
    public_ct = [d.is_valid for k in kinds if k.name == HELD_OUT_CT for d in k.decisions]
    public_mri = [d.is_valid for d in by_name["held_out"].decisions]
    figures: dict[str, float] = {
        "held_out": by_name["held_out"].accepted,
        "sample": by_name["sample"].accepted,
        "accept": float(np.mean([d.is_valid for d in foreign])),
        "reject": float(np.mean([not d.is_valid for d in other])),
        "brain_ct": 1 - by_name["brain_ct"].accepted,
    }
    missed = [name for name, least in TARGETS.items() if figures[name] < least]
    gate_ms, gate_bytes = float(np.median(clock.ms)), len(gate.to_bytes())
    batch_ms = float(np.median(clock.batch_ms))
    missed += (
        ["batch_ms"] * (batch_ms > BATCH_MS)
        + ["gate_ms"] * (gate_ms >= GATE_MS)
        + ["gate_bytes"] * (gate_bytes > MAX_GATE_BYTES)
    )
    original = float(np.mean([d.histogram_correlation <= ORIGINAL_THRESHOLD for d in other]))
    return {
        **{name: round(value, 4) for name, value in figures.items()},
        "held_out_with_ct": round(float(np.mean(public_mri + public_ct)), 4),
        "reject_by_original": round(original, 4),
        "threshold": round(gate.threshold, 4),
        "gate_ms": round(gate_ms, 3),
        "batch_ms": round(batch_ms, 3),
        "gate_bytes": gate_bytes,
        "missed": missed,
    }


def show(kinds: list[Kind], figures: dict[str, object]) -> None:
    """One row a kind."""
    table = Table("kind", "should be", "images", "original's rule accepts", "ours accepts")
    for kind in kinds:
        wish = "accepted" if kind.is_mri else "refused"
        shares = (f"{kind.accepted_by_original:.1%}", f"{kind.accepted:.1%}")
        table.add_row(kind.name, wish, str(len(kind.decisions)), *shares)
    console = Console()
    console.print(table)
    console.print(
        f"Thresholds: original {ORIGINAL_THRESHOLD}, ours {figures['threshold']}; {figures['gate_ms']} ms an image."
    )


if __name__ == "__main__":
    sys.exit(main())
