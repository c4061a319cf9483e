import pandas as pd
import pytest

from brain_assets.ml.evaluation import judge
from brain_assets.ml.figures import PUBLISHED_NOTE, Evaluation
from brain_assets.ml.metrics import evaluate_subset
from brain_assets.ml.model_card import markdown_table, model_card, split_sizes
from brain_core.labels import NOTICE
from tests.fixtures_evaluation import drawn_images, judged_model, known_images, predictor, trained_record

SIZES = pd.DataFrame([{"part": "test", "label": "glioma", "images": 9, "groups": 4, "components": 2}])


@pytest.fixture
def evaluation(bucket) -> Evaluation:
    return judged_model(bucket, wrong=(1,)).evaluation


def published(evaluation: Evaluation) -> Evaluation:
    from brain_assets.ml.figures import PublishedFigures

    figures = evaluate_subset(*(drawn_images().labels for _ in range(3))).model_dump()
    return evaluation.model_copy(update={"published_split": PublishedFigures(**figures, trained_share=0.76)})


def test_the_card_has_the_notice_the_data_and_every_figure_with_its_interval(evaluation):
    card = model_card(trained_record(), evaluation, SIZES)
    assert NOTICE in card
    assert "| test | glioma | 9 | 4 | 2 |" in card
    for figure in (evaluation.accuracy, evaluation.roc_auc, evaluation.ece, evaluation.ece_before_scaling):
        assert str(figure) in card
    for name, found in evaluation.by_class.items():
        assert f"| {name} | {found.images} | {found.recall} |" in card
    assert f"| glioma | 4 | {evaluation.localisation['glioma'].peak_in_box} |" in card
    assert str(evaluation.mirror.consistency) in card
    assert "| axial | 8 | 8 |" in card


def test_the_card_names_the_published_split_as_what_it_is(evaluation):
    assert "The data have no published split." in model_card(trained_record(), evaluation, SIZES)
    card = model_card(trained_record(), published(evaluation), SIZES)
    assert PUBLISHED_NOTE in card
    assert "76.0% of these images were trained or tuned on" in card


def test_the_card_says_what_makes_it_again(evaluation):
    card = model_card(trained_record(run_id="run-7"), evaluation, SIZES, command="brain make it")
    assert "`brain make it`, data version `d1`, MLflow run `run-7`." in card


def test_the_card_says_what_the_training_started_from(evaluation):
    for changed, told in (
        ({"initial": "imagenet"}, "started from weights trained on ImageNet"),
        ({"initial": "scratch"}, "started from random weights"),
        ({"started_from": "3"}, "started from version 3 of the model"),
    ):
        assert told in model_card(trained_record().model_copy(update=changed), evaluation, SIZES)


def test_the_limits_follow_from_the_figures(evaluation):
    card = model_card(trained_record("sample"), evaluation, SIZES)
    assert "say nothing about real MRI" in card
    assert "fewer than 30 independent cases" in card
    assert "misses most often is meningioma: recall 0.000" in card
    assert "say nothing about real MRI" not in model_card(trained_record("public"), evaluation, SIZES)


def test_what_was_not_measured_is_said_so(bucket):
    test = drawn_images(1, copies=1)
    found = judge(predictor(has_map=False), test, known_images(test), bucket).evaluation
    card = model_card(trained_record(), found.model_copy(update={"by_plane": {}}), SIZES)
    assert "| ROC-AUC, mean of the classes | not assessed |" in card
    assert "no tumour boxes are known" in card
    assert "no image of meningioma, notumor, pituitary" in card
    assert "The planes of the images are not known." in card


def test_the_parts_are_counted_in_images_groups_and_components():
    splits = pd.DataFrame({"key": list("abc"), "label": "glioma", "group": [0, 0, 1], "part": "test"})
    assert split_sizes(splits).to_numpy().tolist() == [["test", "glioma", 3, 2, 2]]
    assert split_sizes(splits.assign(component=5)).to_numpy().tolist() == [["test", "glioma", 3, 2, 1]]


def test_a_table_has_a_line_for_its_head():
    assert markdown_table(("a", "b"), [(1, None)]) == "| a | b |\n| --- | --- |\n| 1 | not assessed |"
