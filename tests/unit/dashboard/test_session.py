from dataclasses import replace

import pytest
import streamlit as st

from brain_core.contracts import Feedback
from dashboard import session
from dashboard.outcomes import Answer
from tests.fixtures_dashboard import PREDICTION_ID, created

AGREED = Feedback(prediction_id=PREDICTION_ID, revision=1, agrees=True, corrected_class=None, review_state="accepted")
ANSWER = Answer(created())


@pytest.fixture(autouse=True)
def state(monkeypatch):
    """A session of the test's own."""
    held: dict[str, object] = {}
    monkeypatch.setattr(st, "session_state", held)
    return held


def test_images_of_a_session_stay_the_same():
    assert session.uploads() is session.uploads()


def test_answer_is_hidden_only_to_who_labels_first_and_until_label_or_reveal(state):
    assert not session.is_hidden("a", ANSWER)
    state["label-first"] = True
    assert session.is_hidden("a", ANSWER)
    assert not session.is_hidden("a", replace(ANSWER, feedback=AGREED))
    session.reveal("a")
    assert not session.is_hidden("a", ANSWER)
    assert session.is_hidden("b", ANSWER)
