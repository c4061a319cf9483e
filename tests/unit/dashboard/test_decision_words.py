import numpy as np
import pytest

from brain_assets.ml.policy import Answers, Candidate, Evidence, JudgedImages
from brain_assets.ml.promotion import decide
from brain_assets.ml.records import PromotionRecord
from dashboard.decision_words import FIGURES, RULES, figure_name, rule_name, summary, told
from tests.fixtures_admin import decision, rule

LABELS = np.arange(200) % 4


def candidate(version: str, right: float) -> Candidate:
    answers = np.where(np.arange(200) < 200 * right, LABELS, (LABELS + 1) % 4)
    return Candidate(version, "public", "twin_map", Answers(answers, np.ones(200, bool)), 0.03, 1e-7, 9.0)


def record(champion: Candidate | None) -> dict:
    """What the pipeline keeps of a real decision."""
    images = JudgedImages(LABELS, np.arange(200), np.ones(200, bool))
    made = decide(candidate("2", 0.9), champion, Evidence(images, images))
    before = champion.version if champion else None
    return PromotionRecord(version="2", champion_before=before, decision=made).model_dump(mode="json")


@pytest.mark.parametrize("champion", [None, candidate("1", 0.7), candidate("1", 0.9)])
def test_every_rule_and_figure_of_a_real_decision_has_words(champion):
    decided = told(record(champion))

    assert len(decided.rules) > 8
    raw = [rule["name"] for rule in record(champion)["decision"]["rules"]]
    assert [name for name in raw if rule_name(name) == name] == []
    assert {figure_name(name) for name in FIGURES} == set(FIGURES.values())
    assert not decided.figures.empty


def test_challenger_that_is_better_is_told_as_promoted():
    decided = told(record(candidate("1", 0.7)))

    assert decided.is_promoted
    assert decided.failed == []
    assert summary("2", decided) == "Version 2 was promoted: all 16 rules hold; compared with version 1."
    assert list(decided.figures.columns) == ["This version", "Champion then", "Difference (95 % interval)"]
    assert decided.figures.loc["Accuracy"].tolist()[:2] == ["0.900", "0.700"]
    assert decided.figures.loc["Accuracy", "Difference (95 % interval)"].startswith("+0.200 (")
    assert decided.decided_at is not None


def test_tie_is_told_with_the_rule_that_failed_first():
    decided = told(record(candidate("1", 0.9)))

    assert [rule.name for rule in decided.failed] == ["Better on the fixed test images (macro-F1)"]
    assert decided.rules[0] == decided.failed[0]
    assert (
        summary("2", decided)
        == "Version 2 was not promoted: 1 of 16 rules does not hold, so version 1 stayed the champion."
    )


def test_first_champion_is_compared_with_none():
    decided = told(record(None))

    assert summary("2", decided).endswith("there was no champion.")
    assert list(decided.figures.columns) == ["This version"]


def test_first_model_that_is_too_weak_is_not_published():
    decided = told(decision(False, rule("balanced accuracy", False), rule("network", False), before=None))

    assert summary("1", decided) == "Version 1 was not promoted: 2 of 2 rules do not hold, so none was published."


@pytest.mark.parametrize("kept", [None, {}, {"decision": None}, {"decision": "yes"}, {"decision": []}])
def test_record_without_a_decision_tells_nothing(kept):
    assert told(kept) is None


def test_record_of_another_release_is_told_as_far_as_it_goes():
    decided = told({"decision": {"is_promoted": True, "reason": "Every rule holds.", "rules": ["?"], "figures": [1]}})

    assert summary("3", decided) == "Version 3 was promoted. Every rule holds."
    assert decided.figures.empty
    assert decided.decided_at is None


def test_unknown_names_stand_as_they_are():
    assert rule_name("a rule of tomorrow") == "a rule of tomorrow"
    assert figure_name("something new") == "Something new"
    assert len(set(RULES.values())) == len(RULES)
