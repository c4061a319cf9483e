from datetime import UTC, datetime

import pandas as pd
import pytest

from brain_assets.ml.metrics_table import FIGURES, interval_text, metrics_table, readable, with_new_model
from brain_assets.ml.registry import RecordedRun, RegisteredVersion
from tests.fixtures_evaluation import judged_model, trained_record

WHEN = datetime(2026, 11, 1, tzinfo=UTC)


class Registry:
    """Versions that are given, and no baseline."""

    def __init__(self, *versions: RegisteredVersion) -> None:
        self._versions = list(versions)

    def versions(self) -> list[RegisteredVersion]:
        return self._versions

    def runs_with_tag(self, name: str, value: str) -> list[RecordedRun]:
        return []


def version(number: str, metrics: dict[str, float] | None) -> RegisteredVersion:
    run = None if metrics is None else RecordedRun("r", WHEN, metrics, {}, {})
    return RegisteredVersion(number, WHEN, (), {}, run)


def test_a_new_model_stands_above_the_versions_with_its_figures(bucket):
    evaluation = judged_model(bucket, wrong=(0,)).evaluation
    before = metrics_table(Registry(version("1", {"test_accuracy": 0.5})))
    table = with_new_model(before, trained_record("public"), evaluation)
    assert table["version"].tolist() == ["new", "1"]
    assert table["accuracy"].tolist() == [pytest.approx(0.75), 0.5]
    assert (table.loc[0, "source"], table.loc[0, "architecture"]) == ("public", "compact_cnn")
    assert table.loc[0, "peak_in_box"] == evaluation.localisation["all"].peak_in_box.value
    assert table.loc[0, "mirror_consistency_low"] == evaluation.mirror.consistency.low


def test_the_first_model_stands_alone(bucket):
    evaluation = judged_model(bucket).evaluation
    table = with_new_model(metrics_table(Registry()), trained_record(), evaluation)
    assert table["version"].tolist() == ["new"]
    assert readable(table)["accuracy"].tolist() == [str(evaluation.accuracy)]
    assert table[list(FIGURES)].dtypes.eq("float64").all()


def test_every_figure_of_the_table_is_one_that_an_evaluation_can_have(bucket):
    names = set(judged_model(bucket).evaluation.intervals())
    assert set(FIGURES.values()) - names == {"published_split_accuracy", "feedback_test_accuracy"}


def test_versions_without_figures_or_without_a_run_stand_in_the_table():
    table = metrics_table(Registry(version("2", None), version("1", {})))
    assert table["version"].tolist() == ["2", "1"]
    assert pd.isna(table["accuracy"]).all()
    assert "accuracy" not in readable(table)


def test_a_figure_without_an_interval_is_shown_alone():
    nan = float("nan")
    assert interval_text(0.5, nan, nan) == "0.500"
    assert interval_text(nan, nan, nan) == ""
    assert interval_text(0.5, 0.4, 0.6) == "0.500 (0.400 to 0.600)"
