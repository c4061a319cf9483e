"""The table of all models, from a real MLflow."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from brain_assets.ml.metrics_table import ABOUT, FIGURES, metrics_table, readable
from brain_assets.ml.registry import CHAMPION, MODEL_NAME, ModelRegistry, TrackedRun


@pytest.fixture(scope="module")
def registry(mlflow_url: str) -> ModelRegistry:
    return ModelRegistry(mlflow_url, timeout_s=30)


def run_with(registry: ModelRegistry, tags: dict[str, str], metrics: dict[str, float]) -> TrackedRun:
    with registry.run("training", tags) as run:
        run.log_params({"architecture": tags.get("architecture", "compact_cnn"), "data_version": "d1"})
        run.log_metrics(metrics)
    return run


@pytest.fixture(scope="module")
def table(registry: ModelRegistry) -> pd.DataFrame:
    judged = run_with(registry, {}, {"test_accuracy": 0.5, "test_accuracy_low": 0.4, "test_accuracy_high": 0.6})
    first = registry.register(judged, "bundle", {"source": "public", "decision": "promoted"})
    registry.register(run_with(registry, {"source": "own"}, {"loss": 1.0}), "bundle", {})
    registry.set_alias(CHAMPION, first)
    baseline = {"role": "baseline", "source": "public", "architecture": "original_cnn"}
    run_with(registry, baseline, {"test_accuracy": 0.1})
    run_with(registry, baseline, {"test_accuracy": 0.3})
    return metrics_table(registry)


def test_a_version_has_its_figures_its_alias_and_what_was_decided(table):
    row = table.iloc[1]
    assert (row["accuracy"], row["accuracy_low"], row["accuracy_high"]) == (0.5, 0.4, 0.6)
    assert (row["aliases"], row["source"], row["decision"]) == ("champion", "public", "promoted")
    assert (row["architecture"], row["data_version"]) == ("compact_cnn", "d1")
    assert datetime.now(UTC) - row["created_at"] < timedelta(minutes=10)


def test_a_version_that_was_never_judged_stands_in_the_table_without_figures(table):
    assert int(table.iloc[0]["version"]) > int(table.iloc[1]["version"])
    assert table.iloc[0][list(FIGURES)].isna().all()
    assert table.iloc[0]["source"] == "own"


def test_the_newest_baseline_stands_last(table):
    assert (table["version"] == "baseline").sum() == 1
    row = table.iloc[-1]
    assert (row["version"], row["architecture"], row["accuracy"]) == ("baseline", "original_cnn", 0.3)
    assert row["decision"] == "never promoted"


def test_a_run_that_was_erased_leaves_its_version_in_the_table(registry):
    run = run_with(registry, {}, {"test_accuracy": 0.7})
    version = registry.register(run, "bundle", {"source": "own"})
    registry._client.delete_run(run.run_id)
    row = metrics_table(registry).set_index("version").loc[version]
    assert (row["source"], row["accuracy"]) == ("own", 0.7)


def test_people_read_the_figures_with_their_intervals(table):
    shown = readable(table.iloc[[0, 1, -1]])
    assert list(shown.columns) == [*ABOUT, "accuracy"]
    assert shown["accuracy"].tolist()[:2] == ["", "0.500 (0.400 to 0.600)"]
    assert shown["accuracy"].tolist()[-1] == "0.300"


def test_before_the_first_model_the_table_is_empty(registry, monkeypatch):
    monkeypatch.setattr("brain_assets.ml.registry.MODEL_NAME", f"{MODEL_NAME}-none")
    monkeypatch.setattr("brain_assets.ml.registry.EXPERIMENT", "never-used")
    empty = metrics_table(registry)
    assert len(empty) == 0
    assert set(ABOUT) | set(FIGURES) <= set(empty.columns)
    assert len(readable(empty)) == 0
