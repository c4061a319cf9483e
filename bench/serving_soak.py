"""Is every answer right while 100 clients send at once for a minute?

    python bench/serving_soak.py DATA [--bundle DIR] [--clients 100] [--seconds 60]

DATA holds `brain-tumor-mri`; 200 of its images are sent in turn. What the API must say of each (class, probabilities,
refused or not) is found beforehand with the bundle alone. Afterwards the API's own table and bucket are read: the row
of each answer's id must hold the hash of the image that was sent, the class that was answered, and the bucket that very
image; no id may come twice, and no row may be without an answer. 503 with Retry-After is allowed (a full queue), every
other failure is not.

Prints a table, then one JSON line. Exits 1 when an answer is wrong or a request failed.
"""

import argparse
import hashlib
import json
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measured_bundle import add_bundle_option
from predict import chosen_files
from rich.console import Console
from rich.table import Table
from serving_product import FORM, Stores, running_product, stores
from sqlalchemy import select
from upload_clients import Answer, Countdown, uploads

from brain_core.bundle import folder_files, load_files
from brain_core.cores import usable_cores
from brain_core.imaging import decode
from brain_core.labels import CLASSES
from brain_core.tables import PredictionRow

IMAGES = 200
TOLERANCE = 1e-4
"""Between probabilities of the same image: threads may sum in another order."""

ACCEPTED, REFUSED, BUSY = 201, 422, 503


@dataclass(frozen=True)
class Expected:
    """What must be said of an image; `predicted_class` is None when the gate refuses it."""

    sha256: str
    predicted_class: str | None
    probabilities: dict[str, float]


def main() -> int:
    """Run the soak."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="holds `brain-tumor-mri`")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    add_bundle_option(parser)
    options = parser.parse_args()
    images = [path.read_bytes() for path in chosen_files(options.data.resolve() / "brain-tumor-mri", IMAGES)]
    expected = expectations(options.bundle, images)
    # Short, since a Unix socket lies in it.
    with tempfile.TemporaryDirectory(prefix="brain-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        home.mkdir()
        with stores(options.bundle, home) as kept:
            with running_product(kept, usable_cores(), 1) as product:
                answers = uploads(product.server.url, images, FORM, options.clients, Countdown(seconds=options.seconds))
            figures = judged(answers, expected, kept)
    show(figures)
    print(json.dumps(figures))
    return 0 if not figures["wrong"] and not figures["failed"] and figures["answered"] else 1


def expectations(bundle: Path, images: Sequence[bytes]) -> list[Expected]:
    """What the bundle says of each image, one after the other."""
    loaded = load_files(folder_files(bundle))
    found = []
    for data in images:
        judgement = loaded.judge(decode(data))
        inference = judgement.inference
        answer = inference.predicted_class if judgement.decision.is_valid else None
        probabilities = dict(zip(CLASSES, inference.probabilities.tolist(), strict=True))
        found.append(Expected(hashlib.sha256(data).hexdigest(), answer, probabilities))
    return found


def judged(answers: list[Answer], expected: Sequence[Expected], kept: Stores) -> dict[str, Any]:
    """How many answers were right, wrong or missing; what was wrong, in words."""
    kept_answers = [answer for answer in answers if answer.status in {ACCEPTED, REFUSED}]
    statuses = Counter(answer.status for answer in answers)
    rows = _rows(kept)
    wrong = [
        fault
        for answer in kept_answers
        for fault in faults(answer, expected[answer.index % len(expected)], rows.get(answer.body.get("id", "")), kept)
    ]
    ids = Counter(answer.body.get("id") for answer in kept_answers)
    wrong += [f"the id {one} came {count} times" for one, count in ids.items() if count > 1]
    wrong += [f"the row {one} belongs to no answer" for one in rows.keys() - ids.keys()]
    seconds = [answer.seconds for answer in kept_answers] or [0.0, 0.0]
    return {
        "answered": len(kept_answers),
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "failed": sum(count for status, count in statuses.items() if status not in {ACCEPTED, REFUSED, BUSY}),
        "rows": len(rows),
        "wrong": len(wrong),
        "first_faults": wrong[:10],
        "p50_ms": statistics.median(seconds) * 1000,
        "p99_ms": float(np.percentile(seconds, 99)) * 1000,
    }


def _rows(kept: Stores) -> dict[str, Any]:
    columns = (PredictionRow.id, PredictionRow.image_sha256, PredictionRow.image_key, PredictionRow.predicted_class)
    with kept.engine.connect() as connection:
        return {str(row.id): row for row in connection.execute(select(*columns))}


def faults(answer: Answer, expected: Expected, row: Any, kept: Stores) -> list[str]:
    """What is wrong with one answer, its row and its image."""
    name = f"answer {answer.index}"
    if row is None:
        return [f"{name}: there is no row"]
    found = []
    if row.image_sha256 != expected.sha256:
        found.append(f"{name}: the row is of another image")
    if hashlib.sha256(kept.bucket.read(row.image_key)).hexdigest() != expected.sha256:
        found.append(f"{name}: the bucket holds another image")
    said = (answer.body.get("predicted_class"), row.predicted_class)
    if said != (expected.predicted_class, expected.predicted_class):
        found.append(f"{name}: {said[0]!r} and in the row {said[1]!r}, not {expected.predicted_class!r}")
    if answer.status == ACCEPTED and not _is_close(answer.body["probabilities"], expected.probabilities):
        found.append(f"{name}: other probabilities")
    return found


def _is_close(answered: Mapping[str, float], expected: Mapping[str, float]) -> bool:
    return all(abs(answered[name] - value) <= TOLERANCE for name, value in expected.items())


def show(figures: dict[str, Any]) -> None:
    """Print the table."""
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), f"{value:.0f}" if isinstance(value, float) else str(value))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
