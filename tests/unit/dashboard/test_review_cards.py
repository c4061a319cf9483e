from typing import get_args

from brain_core.contracts import ReviewState
from dashboard.review_cards import BADGES, DECISIONS
from dashboard.review_desk import ACCEPTED, REJECTED


def test_every_state_has_a_badge_that_is_not_told_by_its_colour_alone():
    assert set(BADGES) == set(get_args(ReviewState))
    assert len({badge["label"] for badge in BADGES.values()}) == len({badge["icon"] for badge in BADGES.values()}) == 3


def test_each_decision_has_a_key_of_its_own():
    assert [state for _, state, _, _ in DECISIONS] == [ACCEPTED, REJECTED]
    assert len({key for _, _, key, _ in DECISIONS}) == 2
