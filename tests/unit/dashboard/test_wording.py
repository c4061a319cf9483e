import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_core.errors import ApiError, DatabaseError, SettingsError, StorageError
from brain_core.labels import CLASSES
from dashboard.wording import CLASS_NAMES, problem_slug, sentence
from serving.problem_types import ALL_PROBLEM_TYPES


def test_every_class_has_a_name_in_the_right_order():
    assert tuple(CLASS_NAMES) == CLASSES


@pytest.mark.parametrize("kind", [kind for kind in ALL_PROBLEM_TYPES if kind.status < 500], ids=lambda kind: kind.slug)
def test_every_problem_of_the_api_is_told_without_its_jargon(kind):
    text = sentence(ApiError("x", kind.status, {"type": kind.uri, "detail": "What was wrong."}))

    assert len(text) > 10
    assert "consent=true" not in text
    assert "{" not in text


def test_service_away_says_that_the_image_is_not_at_fault():
    assert "Nothing is wrong with your image" in sentence(ApiError("connection refused"))


@pytest.mark.parametrize(("status", "words"), [(413, "smaller"), (415, "JPEG or PNG"), (429, "Wait")])
def test_status_is_enough_where_a_proxy_answered_without_a_problem_document(status, words):
    assert words in sentence(ApiError("x", status))


@given(status=st.integers(0, 599), problem=st.dictionaries(st.sampled_from(["type", "detail"]), st.text() | st.none()))
def test_any_answer_at_all_gives_a_sentence(status, problem):
    assert sentence(ApiError("x", status, problem)).strip()


def test_slug_is_the_last_part_of_the_type():
    assert problem_slug(ApiError("x", 422, {"type": "/problems/not-a-brain-mri"})) == "not-a-brain-mri"
    assert problem_slug(ApiError("x", 422, {})) == ""


def test_other_errors_keep_their_message_and_get_a_way_on():
    assert sentence(DatabaseError("PostgreSQL is away.")).startswith("PostgreSQL is away. Reload")
    assert sentence(StorageError("The bucket is away.")).startswith("The bucket is away. Try again")
    assert sentence(SettingsError("BRAIN_X is wrong.")) == "BRAIN_X is wrong."
