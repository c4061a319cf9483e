"""The figures of several models side by side, out of what their manifests say; no Streamlit here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from brain_core.contracts import ModelVersion
from brain_core.labels import CLASSES
from dashboard.wording import CLASS_NAMES, NOTHING

BEST = "★"
"""Stands before the best value of a row, so that it is not told by its weight alone."""


@dataclass(frozen=True)
class Metric:
    """A figure that the models are compared by.

    Attributes:
        name: for people.
        explanation: what it says, in a sentence.
        path: where it lies in a model's metrics.
        is_share: shown in per cent.
        is_lower_better: the smallest is the best.
    """

    name: str
    explanation: str
    path: tuple[str, ...]
    is_share: bool = True
    is_lower_better: bool = False


METRICS = (
    Metric(
        "Balanced accuracy", "Of 100 slices of each class, so many are told rightly on average.", ("balanced_accuracy",)
    ),
    Metric("Accuracy", "Of 100 slices as they come, so many are told rightly.", ("accuracy",)),
    Metric("Macro-F1", "Finding and not over-calling each class in one number; 1 is perfect.", ("macro_f1",), False),
    *(
        Metric(f"Finds: {CLASS_NAMES[name]}", "Recall: so many of this class are found.", ("by_class", name, "recall"))
        for name in CLASSES
    ),
    Metric(
        "Area under the ROC curve", "How well the classes are ranked apart; 1 is perfect.", ("roc_auc",), is_share=False
    ),
    Metric(
        "Calibration error",
        "How far the stated confidence is from being right that often; less is better.",
        ("ece",),
        is_lower_better=True,
    ),
    Metric(
        "Map points at the tumour",
        "Of rightly told tumours, so often the strongest evidence lies on the tumour.",
        ("localisation", "all", "peak_in_box"),
    ),
    Metric("Same answer when mirrored", "So often the mirrored slice is told the same.", ("mirror", "consistency")),
    Metric("Accuracy on corrections", "On corrected images that were kept for judging.", ("feedback_test", "accuracy")),
)


@dataclass(frozen=True)
class Figure:
    """A value with the bounds of its 95 % interval, where it has one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Cell:
    """A figure in the table, and whether it is the best of its row."""

    figure: Figure
    is_best: bool


@dataclass(frozen=True)
class Row:
    """A metric with a cell for each model, None where a model does not have it."""

    metric: Metric
    cells: list[Cell | None]


def figure_at(metrics: Mapping[str, Any] | None, path: Sequence[str]) -> Figure | None:
    """The figure at a place in a model's metrics; None where there is none, or none that is a number."""
    found: Any = metrics
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    if isinstance(found, Mapping):
        value, low, high = (_number(found.get(name)) for name in ("value", "low", "high"))
    else:
        value, low, high = _number(found), None, None
    if value is None:
        return None
    return Figure(value, low, high) if low is not None and high is not None else Figure(value)


def rows(models: Sequence[ModelVersion]) -> list[Row]:
    """The metrics that at least one model has, with the best of each row marked where there is something to compare."""
    found = []
    for metric in METRICS:
        figures = [figure_at(model.metrics, metric.path) for model in models]
        if any(figure is not None for figure in figures):
            best = _best(metric, figures)
            cells = [None if figure is None else Cell(figure, figure.value == best) for figure in figures]
            found.append(Row(metric, cells))
    return found


def table(models: Sequence[ModelVersion]) -> pd.DataFrame:
    """The rows as Markdown for people: metrics down, versions across, the champion named as such."""
    made = rows(models)
    columns = {
        f"Version {model.version}" + (" · champion" if model.is_champion else ""): [
            _text(row.metric, row.cells[place]) for row in made
        ]
        for place, model in enumerate(models)
    }
    return pd.DataFrame(columns, index=pd.Index([row.metric.name for row in made], name="Figure"))


def figure_text(metric: Metric, value: float) -> str:
    """A value of a metric for people."""
    return f"{value:.1%}" if metric.is_share else f"{value:.3f}"


def interval_text(metric: Metric, figure: Figure) -> str:
    """The bounds of a figure for people; empty where it has none."""
    if figure.low is None or figure.high is None:
        return ""
    return f"{figure_text(metric, figure.low)} to {figure_text(metric, figure.high)}"


def _best(metric: Metric, figures: Sequence[Figure | None]) -> float | None:
    values = [figure.value for figure in figures if figure is not None]
    # One alone, or all the same: nothing is better than the others.
    if len(set(values)) < 2:
        return None
    return min(values) if metric.is_lower_better else max(values)


def _text(metric: Metric, cell: Cell | None) -> str:
    if cell is None:
        return NOTHING
    value = figure_text(metric, cell.figure.value)
    interval = interval_text(metric, cell.figure)
    return (f"{BEST} **{value}**" if cell.is_best else value) + (f"  \n{interval}" if interval else "")


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    return float(value) if is_number else None
