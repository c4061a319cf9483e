"""All models side by side: the registered versions and, for comparison, the baseline."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime

import pandas as pd

from brain_assets.ml.figures import METRIC_PREFIX, Evaluation
from brain_assets.ml.records import TrainedModel
from brain_assets.ml.registry import ModelRegistry, RecordedRun, RegisteredVersion

ROLE_TAG = "role"
BASELINE = "baseline"
"""Value of `ROLE_TAG` on the run of a model that is only compared with, and what the table calls it."""

NEW = "new"
"""What the table calls a model that has no version yet."""

DECISION_TAG = "decision"
"""Tag of a version: what was decided about it."""

FIGURES = {
    "accuracy": "accuracy",
    "macro_f1": "macro_f1",
    "balanced_accuracy": "balanced_accuracy",
    "roc_auc": "roc_auc",
    "ece": "ece",
    "peak_in_box": "localisation_all_peak_in_box",
    "energy_in_box": "localisation_all_energy_in_box",
    "mirror_consistency": "mirror_consistency",
    "image_accuracy": "all_images_accuracy",
    "feedback_accuracy": "feedback_test_accuracy",
    "published_split_accuracy": "published_split_accuracy",
}
"""What the models are compared by, and its name in `figures.Evaluation.intervals`.

The last is measured on images whose copies were trained on: it is inflated.
"""

ABOUT = ("version", "aliases", "created_at", "source", "architecture", "data_version", "decision")

_UNKNOWN = dict.fromkeys(ABOUT, "")


def metrics_table(registry: ModelRegistry) -> pd.DataFrame:
    """One row a registered version, the newest first, and the newest baseline last.

    Returns:
        `ABOUT`, text but for `created_at` (UTC); then, for each of `FIGURES`, the figure and the bounds of its 95 %
        interval, `<figure>_low` and `<figure>_high`, as float64, NaN where a version does not have it.

    Raises:
        RegistryError: MLflow is away.
    """
    rows = [_version_row(version) for version in registry.versions()]
    rows += [_baseline_row(run) for run in registry.runs_with_tag(ROLE_TAG, BASELINE)[:1]]
    columns = [name for figure in FIGURES for name in (figure, f"{figure}_low", f"{figure}_high")]
    table = pd.DataFrame(rows, columns=[*ABOUT, *columns])
    return table.astype(dict.fromkeys(columns, "float64"))


def with_new_model(table: pd.DataFrame, model: TrainedModel, evaluation: Evaluation) -> pd.DataFrame:
    """The table with a model above the others that was judged but is not registered yet; see `NEW`."""
    about: dict[str, object] = {"version": NEW, "architecture": model.architecture, "data_version": model.data_version}
    about |= {"source": model.provenance.source, "created_at": datetime.now(UTC)}
    row = {**_UNKNOWN, **_figures(evaluation.as_metrics()), **about}
    newest = pd.DataFrame([row], columns=table.columns).astype(table.dtypes)
    return pd.concat([newest, table], ignore_index=True) if len(table) else newest


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table for people: each figure with its interval as one text, and no figure that no version has."""
    shown = table[list(ABOUT)].copy()
    shown["created_at"] = [created_at.strftime("%Y-%m-%d %H:%M") for created_at in table["created_at"]]
    for figure in FIGURES:
        if table[figure].notna().any():
            bounds = table[[figure, f"{figure}_low", f"{figure}_high"]].itertuples(index=False)
            shown[figure] = [interval_text(*row) for row in bounds]
    return shown


def interval_text(value: float, low: float, high: float) -> str:
    """A figure with its bounds, such as `0.912 (0.890 to 0.931)`; empty where it is NaN."""
    if math.isnan(value):
        return ""
    return f"{value:.3f}" if math.isnan(low + high) else f"{value:.3f} ({low:.3f} to {high:.3f})"


def _version_row(version: RegisteredVersion) -> dict[str, object]:
    return {
        **(_about(version.run) if version.run else _UNKNOWN),
        **({"source": version.tags["source"]} if "source" in version.tags else {}),
        "version": version.version,
        "aliases": ", ".join(version.aliases),
        "created_at": version.created_at,
        "decision": version.tags.get(DECISION_TAG, ""),
    }


def _baseline_row(run: RecordedRun) -> dict[str, object]:
    never = {"aliases": "", "decision": "never promoted"}
    return {**_about(run), **never, "version": BASELINE, "created_at": run.created_at}


def _about(run: RecordedRun) -> dict[str, object]:
    known = {name: run.params.get(name, "") for name in ("architecture", "data_version")}
    return {**_figures(run.metrics), **known, "source": run.tags.get("source", "")}


def _figures(metrics: Mapping[str, float]) -> dict[str, float]:
    return {
        f"{column}{side}": metrics.get(f"{METRIC_PREFIX}{metric}{side}", math.nan)
        for column, metric in FIGURES.items()
        for side in ("", "_low", "_high")
    }
