from dataclasses import replace

import numpy as np
import pytest

from brain_assets.ml.promotion import Candidate, Decision, PromotionPolicy, decide
from brain_assets.ml.promotion import TestImages as Images
from brain_core.labels import CLASSES

POLICY = PromotionPolicy()
GROUPS = 200
LABELS = np.arange(GROUPS) % 4
TEST = Images(LABELS, np.arange(GROUPS))


def candidate(version: str, wrong: range | list[int] = (), source: str = "public") -> Candidate:
    """A model that is wrong on these images: it takes them for the next class."""
    answers = LABELS.copy()
    answers[list(wrong)] = (answers[list(wrong)] + 1) % 4
    return Candidate(version, source, np.eye(4)[answers])


def failed(decision: Decision) -> list[str]:
    return [rule.name for rule in decision.rules if not rule.passed]


def test_a_clearly_better_model_is_promoted_by_every_rule():
    decision = decide(candidate("2"), candidate("1", range(30)), TEST, POLICY)
    assert decision.is_promoted
    assert failed(decision) == []
    assert "replaces 1" in decision.reason


def test_an_equal_model_keeps_the_champion():
    decision = decide(candidate("2", range(8)), candidate("1", range(8)), TEST, POLICY)
    assert not decision.is_promoted
    assert failed(decision) == ["better on the frozen test"]


def test_as_many_errors_on_other_images_keep_the_champion():
    decision = decide(candidate("2", range(8)), candidate("1", range(100, 108)), TEST, POLICY)
    assert not decision.is_promoted


def test_a_difference_that_chance_explains_keeps_the_champion():
    decision = decide(candidate("2", range(4)), candidate("1", range(6)), TEST, POLICY)
    assert failed(decision) == ["better on the frozen test"]


def test_a_worse_model_breaks_the_margin_of_macro_f1():
    decision = decide(candidate("2", range(20)), candidate("1"), TEST, POLICY)
    assert "macro-F1 difference" in failed(decision)


def test_a_slightly_lower_macro_f1_is_within_the_margin():
    decision = decide(candidate("2", [0]), candidate("1"), TEST, POLICY)
    assert "macro-F1 difference" not in failed(decision)


def test_a_class_that_loses_recall_blocks_a_model_that_is_better_overall():
    meningiomas = [int(i) for i in np.flatnonzero(LABELS == 1)]
    gliomas = [int(i) for i in np.flatnonzero(LABELS == 0)]
    champion = candidate("1", gliomas[:30])
    challenger = candidate("2", meningiomas[:8])
    decision = decide(challenger, champion, TEST, POLICY)
    assert failed(decision) == [f"recall of {CLASSES[1]}"]
    assert f"recall of {CLASSES[1]}" in decision.reason


def test_a_recall_that_is_lower_by_chance_only_does_not_block():
    gliomas = [int(i) for i in np.flatnonzero(LABELS == 0)]
    decision = decide(candidate("2", [1, 5]), candidate("1", gliomas[:30]), TEST, POLICY)
    assert decision.is_promoted


def test_a_significant_but_small_loss_of_recall_does_not_block():
    many = 4000
    labels = np.arange(many) % 4
    meningiomas, gliomas = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    answers = [labels.copy(), labels.copy()]
    answers[0][meningiomas[:15]] = 2
    answers[1][gliomas[:300]] = 1
    challenger, champion = (Candidate(str(2 - n), "public", np.eye(4)[a]) for n, a in enumerate(answers))
    decision = decide(challenger, champion, Images(labels, np.arange(many)), POLICY)
    rule = next(rule for rule in decision.rules if rule.name == "recall of meningioma")
    assert float(rule.value.split("p = ")[1].rstrip(")")) < POLICY.alpha
    assert rule.passed


@pytest.mark.parametrize(
    ("challenger", "champion", "passes"),
    [("sample", "public", False), ("sample", "own", False), ("sample", "sample", True), ("public", "sample", True)],
)
def test_a_synthetic_model_never_replaces_one_of_real_images(challenger, champion, passes):
    decision = decide(candidate("2", source=challenger), candidate("1", range(60), source=champion), TEST, POLICY)
    assert decision.is_promoted == passes
    assert ("provenance" in failed(decision)) != passes


def test_too_few_common_groups_keep_the_champion():
    few = Images(LABELS, np.arange(GROUPS) % 19)
    decision = decide(candidate("2"), candidate("1", range(100)), few, POLICY)
    assert not decision.is_promoted
    assert "common test groups" in failed(decision)


def test_copies_of_one_slice_are_one_piece_of_evidence():
    champion = candidate("1", range(0, 24, 8))
    single = decide(candidate("2"), champion, TEST, POLICY)
    copied = Images(np.repeat(LABELS, 6), np.repeat(np.arange(GROUPS), 6))
    times = [
        replace(model, probabilities=np.repeat(model.probabilities, 6, axis=0)) for model in (candidate("2"), champion)
    ]
    assert failed(single) == ["better on the frozen test"]
    assert failed(decide(*times, copied, POLICY)) == ["better on the frozen test"]


def test_false_promotions_are_as_rare_as_the_level_says():
    rng = np.random.default_rng(0)
    promoted = 0
    for seed in range(60):
        wrong = [rng.permutation(GROUPS)[:20].tolist() for _ in range(2)]
        promoted += decide(candidate("2", wrong[0]), candidate("1", wrong[1]), TEST, POLICY, seed).is_promoted
    assert promoted <= 7


def test_a_first_champion_must_reach_the_floor():
    floor = POLICY.floor_balanced_accuracy
    reached = decide(candidate("1", range(int(GROUPS * (1 - floor)))), None, TEST, POLICY)
    missed = decide(candidate("1", range(int(GROUPS * (1 - floor)) + 4)), None, TEST, POLICY)
    assert reached.is_promoted
    assert "first champion" in reached.reason
    assert not missed.is_promoted
    assert failed(missed) == ["balanced accuracy"]


def test_guessing_one_class_is_below_the_floor():
    always = Candidate("1", "sample", np.eye(4)[np.zeros(GROUPS, int)])
    assert not decide(always, None, TEST, POLICY).is_promoted


def test_the_decision_is_the_same_each_time_and_survives_json():
    models = candidate("2", range(3)), candidate("1", range(12))
    decision = decide(*models, TEST, POLICY)
    assert decide(*models, TEST, POLICY) == decision
    assert Decision.model_validate_json(decision.model_dump_json()) == decision
