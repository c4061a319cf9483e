"""The promotion policy rule by rule: for each one model that it lets through and one that it stops."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_assets.ml.model import BASELINE
from brain_assets.ml.policy import Answers, Candidate, Decision, Evidence, JudgedImages, PromotionPolicy
from brain_assets.ml.promotion import decide
from brain_core.labels import CLASSES

POLICY = PromotionPolicy()
GROUPS = 200
LABELS = np.arange(GROUPS) % 4
IMAGES = JudgedImages(LABELS, np.arange(GROUPS), LABELS != 2)
EVIDENCE = Evidence(IMAGES)
GLIOMAS, MENINGIOMAS = (np.flatnonzero(index == LABELS).tolist() for index in (0, 1))


def answers(wrong=(), beside=(), labels=LABELS) -> Answers:
    """Right but for the images at `wrong`, which are taken for the next class; the map misses those at `beside`."""
    predictions, on_tumour = labels.copy(), np.ones(len(labels), bool)
    predictions[list(wrong)] = (predictions[list(wrong)] + 1) % 4
    on_tumour[list(beside)] = False
    return Answers(predictions, on_tumour)


def candidate(version: str, wrong=(), **other) -> Candidate:
    told = {"source": "public", "architecture": "net", "calibration_error": 0.02, "parity": 1e-6, "latency_ms": 8.0}
    return Candidate(version, **{**told, "test": answers(wrong), **other})


WEAK = candidate("1", range(40))
"""A champion that is easy to beat."""


def failed(decision: Decision) -> list[str]:
    return [rule.name for rule in decision.rules if not rule.passed]


def rule_of(decision: Decision, name: str):
    (found,) = [rule for rule in decision.rules if rule.name == name]
    return found


def test_a_clearly_better_model_is_promoted_by_every_rule():
    decision = decide(candidate("2"), WEAK, EVIDENCE)
    assert decision.is_promoted
    assert failed(decision) == []
    assert decision.reason == "Version 2 replaces 1: every rule holds."
    assert len(decision.rules) == 16


def test_the_reason_names_each_rule_that_does_not_hold_with_what_it_found():
    decision = decide(candidate("2", latency_ms=50.0, parity=0.5), WEAK, EVIDENCE)
    assert failed(decision) == ["ONNX = Keras", "ms for one image on one thread"]
    assert decision.reason.startswith("The champion 1 stays: ONNX = Keras (5.0e-01; at most 1e-04); ms for one image")


def test_a_tie_keeps_the_champion():
    decision = decide(candidate("2", range(8)), candidate("1", range(8)), EVIDENCE)
    assert failed(decision) == ["better on the frozen test"]


def test_as_many_errors_on_other_images_keep_the_champion():
    assert not decide(candidate("2", range(8)), candidate("1", range(100, 108)), EVIDENCE).is_promoted


def test_a_difference_that_chance_explains_keeps_the_champion():
    assert failed(decide(candidate("2", range(4)), candidate("1", range(6)), EVIDENCE)) == ["better on the frozen test"]


def test_a_model_never_replaces_itself_even_if_it_answers_better_now():
    decision = decide(candidate("1"), WEAK, EVIDENCE)
    assert failed(decision) == ["another model"]


def test_the_baseline_is_never_promoted():
    assert failed(decide(candidate("2", architecture=BASELINE), WEAK, EVIDENCE)) == ["network"]
    assert failed(decide(candidate("2", architecture=BASELINE), None, EVIDENCE)) == ["network"]


@pytest.mark.parametrize(
    ("challenger", "champion", "passes"),
    [("sample", "public", False), ("sample", "own", False), ("sample", "sample", True), ("public", "sample", True)],
)
def test_a_synthetic_model_never_replaces_one_of_real_images(challenger, champion, passes):
    decision = decide(candidate("2", source=challenger), replace(WEAK, source=champion), EVIDENCE)
    assert failed(decision) == ([] if passes else ["provenance"])


def some(count: int) -> tuple[Evidence, Candidate, Candidate]:
    """Only the first images: what is compared, a right model, and one that is often wrong."""
    labels, wrong = LABELS[:count], range(count // 2)
    images = JudgedImages.without_boxes(labels, np.arange(count))
    models = (candidate(v, test=answers(w, labels=labels)) for v, w in (("2", ()), ("1", wrong)))
    return Evidence(images), *models


def test_too_few_common_test_groups_keep_the_champion_and_enough_do_not():
    evidence, *models = some(POLICY.min_groups - 1)
    assert failed(decide(*models, evidence)) == ["common test groups"]
    evidence, *models = some(POLICY.min_groups)
    assert decide(*models, evidence).is_promoted


def test_without_any_common_test_group_the_champion_stays():
    evidence, *models = some(0)
    decision = decide(*(replace(model, calibration_error=np.nan) for model in models), evidence)
    assert failed(decision) == ["common test groups"]
    assert "0: glioma 0, meningioma 0, notumor 0, pituitary 0" in decision.reason


@pytest.mark.parametrize("count", [0, 1, POLICY.min_groups_of_class - 1, POLICY.min_groups_of_class])
def test_a_class_that_is_absent_or_rare_among_the_common_test_groups_keeps_the_champion(count):
    kept = np.concatenate([np.flatnonzero(LABELS != 3), np.flatnonzero(LABELS == 3)[:count]])
    evidence = Evidence(JudgedImages(LABELS[kept], kept, IMAGES.has_box[kept]))
    models = (
        candidate("2", test=answers(labels=LABELS[kept])),
        candidate("1", test=answers(range(50), labels=LABELS[kept])),
    )
    decision = decide(*models, evidence)
    assert failed(decision) == ([] if count == POLICY.min_groups_of_class else ["common test groups"])
    if count == 0:
        assert rule_of(decision, "recall of pituitary").value == "not assessed: no such images"
        assert Decision.model_validate_json(decision.model_dump_json()) == decision


def test_a_worse_model_breaks_the_margin_of_macro_f1():
    assert "macro-F1 difference" in failed(decide(candidate("2", range(20)), candidate("1"), EVIDENCE))


def test_a_slightly_lower_macro_f1_is_within_the_margin():
    assert "macro-F1 difference" not in failed(decide(candidate("2", [0]), candidate("1"), EVIDENCE))


def test_an_equal_macro_f1_that_may_as_well_be_much_lower_breaks_the_bound():
    unsure = decide(candidate("2", range(60)), candidate("1", range(60, 120)), EVIDENCE)
    rule = rule_of(unsure, "macro-F1 difference")
    assert rule.value.startswith("+0.0000, with 95% confidence at least -0.09")
    assert not rule.passed
    sure = decide(candidate("2", range(60)), candidate("1", [*range(59), 60]), EVIDENCE)
    assert rule_of(sure, "macro-F1 difference").passed


def test_a_class_that_loses_recall_blocks_a_model_that_is_better_overall():
    decision = decide(candidate("2", MENINGIOMAS[:8]), candidate("1", GLIOMAS[:30]), EVIDENCE)
    assert failed(decision) == [f"recall of {CLASSES[1]}"]


def test_a_recall_that_is_lower_by_chance_only_does_not_block():
    decision = decide(candidate("2", MENINGIOMAS[:2]), candidate("1", GLIOMAS[:30]), EVIDENCE)
    assert rule_of(decision, "recall of meningioma").value.startswith("-0.0400 (p = 0.")
    assert decision.is_promoted


def test_a_significant_but_small_loss_of_recall_does_not_block():
    labels = np.arange(4000) % 4
    meningiomas, gliomas = (np.flatnonzero(labels == index) for index in (1, 0))
    evidence = Evidence(JudgedImages.without_boxes(labels, np.arange(len(labels))))
    models = (
        candidate(version, test=answers(wrong, labels=labels))
        for version, wrong in (("2", meningiomas[:15]), ("1", gliomas[:300]))
    )
    rule = rule_of(decide(*models, evidence), "recall of meningioma")
    assert float(rule.value.split("p = ")[1].rstrip(")")) < POLICY.alpha
    assert rule.passed


def test_calibration_is_kept_within_its_limit():
    assert decide(candidate("2", calibration_error=0.05), WEAK, EVIDENCE).is_promoted
    assert failed(decide(candidate("2", calibration_error=0.051), WEAK, EVIDENCE)) == ["calibration error"]


@pytest.mark.parametrize(("beside", "passes"), [(2, True), (3, False)])
def test_the_map_may_miss_the_tumour_a_little_more_often_but_not_in_one_class_clearly(beside, passes):
    champion = candidate("1", range(4, 44))
    challenger = candidate("2", test=answers(beside=[g for g in GLIOMAS if g not in range(4, 44)][:beside]))
    decision = decide(challenger, champion, EVIDENCE)
    assert rule_of(decision, "map on glioma").value.endswith("of 40)")
    assert failed(decision) == ([] if passes else ["map on glioma"])


def test_the_map_is_not_compared_where_few_boxes_are_known():
    few = replace(IMAGES, has_box=IMAGES.has_box & (np.arange(GROUPS) < 70))
    decision = decide(candidate("2", test=answers(beside=range(GROUPS))), WEAK, Evidence(few))
    assert decision.is_promoted
    assert "not assessed: 8 rightly told" in rule_of(decision, "map on glioma").value


def test_the_maps_of_wrongly_told_tumours_are_not_compared():
    champion = candidate("1", test=answers(range(40), beside=range(40)))
    decision = decide(candidate("2", test=answers(beside=range(40))), champion, EVIDENCE)
    assert decision.is_promoted


def test_the_exported_graph_must_equal_the_trained_network():
    assert decide(candidate("2", parity=1e-4), WEAK, EVIDENCE).is_promoted
    assert failed(decide(candidate("2", parity=2e-4), WEAK, EVIDENCE)) == ["ONNX = Keras"]
    assert failed(decide(candidate("2", parity=np.nan), WEAK, EVIDENCE)) == ["ONNX = Keras"]


@pytest.mark.parametrize(
    ("challenger", "champion", "passes"),
    [(18.0, 2.0, True), (18.1, 2.0, False), (50.0, 40.0, True), (50.1, 40.0, False)],
)
def test_the_latency_is_within_the_budget_or_near_the_champions_on_a_slow_machine(challenger, champion, passes):
    decision = decide(candidate("2", latency_ms=challenger), replace(WEAK, latency_ms=champion), EVIDENCE)
    assert failed(decision) == ([] if passes else ["ms for one image on one thread"])


def with_feedback(count: int, challenger_wrong, champion_wrong, wrong_on_test=()) -> Decision:
    """Two models that are equal on the frozen test, but for `wrong_on_test` of the champion, and differ on feedback."""
    labels = LABELS[:count]
    feedback = JudgedImages.without_boxes(labels, np.arange(count))
    told = (("2", (), challenger_wrong), ("1", wrong_on_test, champion_wrong))
    models = (candidate(v, test, feedback=answers(wrong, labels=labels)) for v, test, wrong in told)
    return decide(*models, Evidence(IMAGES, feedback))


def test_held_out_feedback_is_reported_also_where_it_is_too_little_to_be_a_test():
    decision = with_feedback(8, range(2), range(4), wrong_on_test=range(5))
    figures = {figure.name: figure for figure in decision.figures}
    told = figures["accuracy on held-out feedback (8 images)"]
    assert (told.challenger, told.champion) == (0.75, 0.5)
    assert "feedback" not in rule_of(decision, "better on the frozen test").value


def test_a_model_that_is_better_on_held_out_feedback_alone_is_promoted():
    decision = with_feedback(40, (), range(20))
    assert decision.is_promoted
    assert "feedback +" in rule_of(decision, "better on the frozen test or on held-out feedback").value


def test_an_equal_model_on_both_keeps_the_champion():
    assert failed(with_feedback(40, range(20), range(20))) == ["better on the frozen test or on held-out feedback"]


def test_two_looks_are_corrected_for():
    once = decide(candidate("2"), candidate("1", range(5)), EVIDENCE)
    twice = with_feedback(40, (), (), wrong_on_test=range(5))
    assert once.is_promoted
    assert failed(twice) == ["better on the frozen test or on held-out feedback"]


def test_little_feedback_is_no_test_of_its_own():
    count = POLICY.min_feedback_groups - 1
    decision = with_feedback(count, (), range(count))
    assert failed(decision) == ["better on the frozen test"]


def test_slices_of_one_patient_are_one_piece_of_evidence():
    few_patients = Evidence(replace(IMAGES, components=np.where(np.arange(GROUPS) < 40, 0, np.arange(GROUPS))))
    assert failed(decide(candidate("2"), WEAK, few_patients)) == ["better on the frozen test"]
    assert decide(candidate("2"), WEAK, EVIDENCE).is_promoted


def test_false_promotions_are_as_rare_as_the_level_says():
    rng = np.random.default_rng(0)
    promoted = 0
    for seed in range(60):
        wrong = [rng.permutation(GROUPS)[:20].tolist() for _ in range(2)]
        promoted += decide(candidate("2", wrong[0]), candidate("1", wrong[1]), Evidence(IMAGES, seed=seed)).is_promoted
    assert promoted <= 7


def test_a_first_champion_must_reach_every_floor():
    floors = POLICY.floors
    assert decide(candidate("1", range(80)), None, EVIDENCE).is_promoted
    weak = decide(candidate("1", range(int(GROUPS * (1 - floors.balanced_accuracy)) + 4)), None, EVIDENCE)
    assert failed(weak) == ["balanced accuracy"]
    assert weak.reason.startswith("Version 1 does not become the first champion: balanced accuracy (0.4")
    assert failed(decide(candidate("1", GLIOMAS[:40]), None, EVIDENCE)) == ["recall of glioma"]
    assert failed(decide(candidate("1", calibration_error=0.3), None, EVIDENCE)) == ["calibration error"]
    assert failed(decide(candidate("1", parity=0.1), None, EVIDENCE)) == ["ONNX = Keras"]
    assert failed(decide(candidate("1", latency_ms=100.0), None, EVIDENCE)) == ["ms for one image on one thread"]


def test_a_first_champion_needs_enough_test_groups():
    assert failed(decide(some(19)[1], None, some(19)[0])) == ["test groups"]
    assert decide(some(20)[1], None, some(20)[0]).is_promoted
    assert failed(decide(some(0)[1], None, some(0)[0])) == ["test groups"]


def test_guessing_one_class_is_below_the_floors():
    always = candidate("1", test=Answers(np.zeros(GROUPS, np.int64), np.ones(GROUPS, bool)))
    assert "balanced accuracy" in failed(decide(always, None, EVIDENCE))


def test_the_figures_of_both_stand_beside_each_other():
    found = {figure.name: figure for figure in decide(candidate("2"), WEAK, EVIDENCE).figures}
    assert (found["accuracy"].challenger, found["accuracy"].champion) == (1.0, 0.8)
    assert found["accuracy"].difference.low < found["accuracy"].difference.value < found["accuracy"].difference.high
    assert found["ms for one image on one thread"].champion == 8.0
    (first,) = [figure for figure in decide(WEAK, None, EVIDENCE).figures if figure.name == "accuracy"]
    assert (first.challenger, first.champion, first.difference) == (0.8, None, None)


def test_the_decision_is_the_same_each_time_and_survives_json():
    models = candidate("2", range(3)), candidate("1", range(12))
    decision = decide(*models, EVIDENCE)
    assert decide(*models, EVIDENCE) == decision
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


SETTINGS = settings(max_examples=25)
FEW = 60


@st.composite
def comparisons(draw) -> tuple[Candidate, Candidate, Evidence]:
    """Any labels, components, boxes and answers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels = rng.integers(0, draw(st.integers(1, 4)), FEW)
    images = JudgedImages(labels, rng.integers(0, draw(st.integers(1, FEW)), FEW), rng.random(FEW) < 0.7)
    share = draw(st.sampled_from([0.0, 0.05, 0.3, 1.0]))
    models = []
    for version in ("2", "1"):
        predictions = np.where(rng.random(FEW) < share, rng.integers(0, 4, FEW), labels)
        models.append(candidate(version, test=Answers(predictions, rng.random(FEW) < 0.8)))
    return *models, Evidence(images)


@SETTINGS
@given(comparisons(), st.integers(0, 2**32))
def test_neither_the_order_nor_the_numbers_of_groups_and_components_change_anything(comparison, seed):
    *models, evidence = comparison
    rng = np.random.default_rng(seed)
    order, numbers = rng.permutation(FEW), rng.permutation(FEW)
    images = evidence.test
    moved = JudgedImages(images.labels[order], numbers[images.components][order], images.has_box[order])
    again = (
        replace(model, test=Answers(model.test.predictions[order], model.test.on_tumour[order])) for model in models
    )
    assert decide(*again, Evidence(moved)) == decide(*models, evidence)


@SETTINGS
@given(comparisons())
def test_no_model_is_promoted_over_one_that_answers_the_same(comparison):
    challenger, _, evidence = comparison
    assert not decide(challenger, replace(challenger, version="1"), evidence).is_promoted
    assert not decide(challenger, challenger, evidence).is_promoted


@SETTINGS
@given(comparisons())
def test_of_two_models_at_most_one_replaces_the_other(comparison):
    challenger, champion, evidence = comparison
    first, second = decide(challenger, champion, evidence), decide(champion, challenger, evidence)
    assert not (first.is_promoted and second.is_promoted)
