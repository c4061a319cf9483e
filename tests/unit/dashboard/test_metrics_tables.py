import math

import pytest

from brain_core.contracts import ModelVersion
from dashboard.metrics_tables import METRICS, Figure, figure_at, figure_text, interval_text, rows, table
from dashboard.wording import NOTHING
from tests.fixtures_admin import figures, model_version

ACCURACY = next(metric for metric in METRICS if metric.name == "Accuracy")
F1 = next(metric for metric in METRICS if metric.name == "Macro-F1")
ECE = next(metric for metric in METRICS if metric.name == "Calibration error")


def best(*models: ModelVersion, name: str) -> list[bool | None]:
    row = next(row for row in rows(models) if row.metric.name == name)
    return [cell and cell.is_best for cell in row.cells]


@pytest.mark.parametrize(
    ("metrics", "figure"),
    [
        ({"accuracy": {"value": 0.9, "low": 0.8, "high": 1}}, Figure(0.9, 0.8, 1.0)),
        ({"accuracy": {"value": 0.9, "low": None, "high": 1}}, Figure(0.9)),
        ({"accuracy": 1}, Figure(1.0)),
        ({"accuracy": {"value": None}}, None),
        ({"accuracy": math.nan}, None),
        ({"accuracy": True}, None),
        ({"accuracy": "0.9"}, None),
        ({"accuracy": [0.9]}, None),
        ({}, None),
        (None, None),
    ],
)
def test_figure_is_read_in_any_form_and_what_is_no_number_is_left_out(metrics, figure):
    assert figure_at(metrics, ("accuracy",)) == figure


def test_figure_lies_as_deep_as_its_path():
    assert figure_at(figures(0.9), ("by_class", "glioma", "recall")).value == 0.9
    assert figure_at(figures(0.9), ("by_class", "nothing", "recall")) is None
    assert figure_at(figures(0.9), ("accuracy", "value", "deeper")) is None


def test_highest_is_the_best_and_the_lowest_error():
    better = model_version("2", metrics=figures(0.95, ece=0.02))
    worse = model_version("1", metrics=figures(0.9, ece=0.04))

    assert best(better, worse, name="Accuracy") == [True, False]
    assert best(better, worse, name="Calibration error") == [True, False]


def test_every_version_that_shares_the_best_is_marked():
    versions = [model_version(str(number), metrics=figures(share)) for number, share in enumerate((0.9, 0.9, 0.8))]

    assert best(*versions, name="Accuracy") == [True, True, False]


def test_nothing_is_the_best_of_one_or_of_equals():
    same = [model_version(str(number), metrics=figures(0.9)) for number in range(2)]

    assert best(*same, name="Accuracy") == [False, False]
    assert best(same[0], model_version("9", metrics={}), name="Accuracy") == [False, None]


def test_metric_that_no_version_has_is_left_out():
    names = [row.metric.name for row in rows([model_version("1", metrics=figures(0.9))])]

    assert "Finds: Glioma" in names
    assert "Finds: Meningioma" not in names
    assert "Map points at the tumour" not in names


def test_table_of_versions_of_which_one_lacks_a_figure():
    made = table([model_version("2", metrics={"accuracy": 0.5}), model_version("1", metrics=figures(0.9))])

    assert made.loc["Accuracy"].tolist() == ["50.0%", "★ **90.0%**  \n87.0% to 93.0%"]
    assert made.loc["Macro-F1"].tolist() == [NOTHING, "0.900  \n0.870 to 0.930"]


def test_table_of_nothing_is_empty():
    assert table([]).empty
    assert table([model_version("1", metrics=None)]).empty


def test_figures_are_told_in_the_unit_of_their_metric():
    assert figure_text(ACCURACY, 0.915) == "91.5%"
    assert figure_text(F1, 0.9) == "0.900"
    assert interval_text(F1, Figure(0.9)) == ""
    assert interval_text(ECE, Figure(0.02, 0.01, 0.03)) == "1.0% to 3.0%"


def test_every_metric_has_a_name_of_its_own_and_an_explanation():
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert all(metric.explanation.endswith(".") for metric in METRICS)
