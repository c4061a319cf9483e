import re

import pytest

from brain_assets.ml.figures import ClassFigures, Evaluation, Interval, SubsetFigures
from tests.fixtures_evaluation import judged_model


def figure(value: float) -> Interval:
    return Interval(value=value, low=value - 0.1, high=value + 0.1)


def evaluation(**further: object) -> Evaluation:
    of_class = ClassFigures(precision=None, recall=figure(0.5), images=3)
    known = dict.fromkeys(("accuracy", "macro_f1", "balanced_accuracy", "ece"), figure(0.5))
    return Evaluation(images=3, groups=3, by_class={"glioma": of_class}, confusion=[], **known, **further)


def test_every_figure_has_a_name_of_its_own_and_its_bounds_in_mlflow():
    metrics = evaluation().as_metrics()
    assert metrics["test_accuracy"] == 0.5
    assert metrics["test_by_class_glioma_recall"] == 0.5
    assert metrics["test_by_class_glioma_recall_low"] == pytest.approx(0.4)
    assert "test_by_class_glioma_precision" not in metrics
    assert "test_roc_auc" not in metrics


def test_names_of_sources_become_names_that_mlflow_takes():
    part = SubsetFigures(images=1, components=1, accuracy=figure(0.5), balanced_accuracy=figure(0.5), recall={})
    names = evaluation(by_source={"scanner (3 T)": part}).as_metrics()
    assert "test_by_source_scanner__3_T__accuracy" in names
    assert all(re.fullmatch(r"[/\w.\- ]+", name) for name in names)


def test_what_was_kept_before_there_were_more_figures_can_still_be_read():
    known = ("images", "groups", "accuracy", "macro_f1", "balanced_accuracy", "ece", "by_class", "confusion")
    kept = {name: value for name, value in evaluation().as_dict().items() if name in known}
    assert Evaluation.model_validate(kept) == evaluation()


def test_a_whole_evaluation_survives_its_json(bucket):
    found = judged_model(bucket, wrong=(0,)).evaluation
    assert Evaluation.model_validate(found.as_dict()) == found
    assert {"localisation_all_peak_in_box", "mirror_consistency", "all_images_accuracy"} <= set(found.intervals())


def test_a_figure_reads_with_its_interval():
    assert str(figure(0.5)) == "0.500 (0.400 to 0.600)"
