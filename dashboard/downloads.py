"""What a reader may take home: results as JSON and CSV; `report` makes the PDF."""

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

from brain_core.labels import CLASSES, NOTICE
from dashboard.outcomes import Answer, Failure, Outcome, Refusal

COLUMNS = (
    "file",
    "outcome",
    "predicted_class",
    "confidence",
    "is_uncertain",
    *(f"probability_{name}" for name in CLASSES),
    "your_label",
    "reason",
    "model_version",
    "created_at",
    "id",
    "notice",
)
"""The CSV's columns; what an image does not have is left empty."""


def as_json(name: str, answer: Answer) -> str:
    """One result as JSON: what the API answered but the token that can erase it, and what the reader said."""
    content = answer.prediction.model_dump(mode="json", exclude={"access_token": True, "explanation": {"image_url"}})
    return json.dumps({"file": name, **content, "your_label": answer.label}, indent=2)


def as_csv(results: Iterable[tuple[str, Outcome]]) -> str:
    """File names and results as CSV, one line an image; with a byte order mark, which spreadsheets read UTF-8 by."""
    target = io.StringIO()
    writer = csv.DictWriter(target, COLUMNS, restval="")
    writer.writeheader()
    for name, outcome in results:
        writer.writerow({"file": _inert(name), "notice": NOTICE, **_row(outcome)})
    return "\ufeff" + target.getvalue()


def _row(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Answer(prediction):
            shares = {f"probability_{name}": share for name, share in prediction.probabilities.items()}
            names = ("predicted_class", "confidence", "is_uncertain", "model_version", "created_at", "id")
            facts = {name: getattr(prediction, name) for name in names}
            return {"outcome": "answered", "your_label": outcome.label or "", **shares, **facts}
        case Refusal(reason, prediction_id):
            return {"outcome": "not a brain MRI", "reason": reason, "id": prediction_id}
        case Failure(sentence):
            return {"outcome": "not readable", "reason": sentence}


def _inert(text: str) -> str:
    # A spreadsheet takes a cell that begins so for a formula (OWASP, CSV Injection).
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
