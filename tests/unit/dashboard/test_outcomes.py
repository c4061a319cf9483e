from uuid import UUID

import pytest

from brain_core.client import BrainClient
from brain_core.errors import ConsentRefused, ServiceUnavailable, ServiceUnreachable, TooManyRequests
from dashboard.outcomes import Answer, Failure, Refusal, ask, content_hash, with_pictures
from tests.fixtures_dashboard import PREDICTION_ID, problem


def test_pictures_come_when_they_are_asked_for(client):
    outcome = ask(client, b"slice", "1")
    assert isinstance(outcome, Answer)
    assert outcome.picture is outcome.overlay is None
    outcome = with_pictures(client, outcome)

    assert isinstance(outcome, Answer)
    assert outcome.picture is not None
    assert outcome.picture.startswith(b"\xff\xd8")
    assert outcome.overlay is not None
    assert outcome.overlay.startswith(b"\x89PNG")
    assert outcome.feedback is None


def test_pictures_that_were_there_are_not_fetched_again(client, scripted_api):
    answer = ask(client, b"slice", "1")
    assert isinstance(answer, Answer)
    outcome = with_pictures(client, answer)
    assert with_pictures(client, outcome) == outcome

    assert scripted_api.count("GET image") == scripted_api.count("GET explanation.png") == 1


def test_refusal_carries_what_erases_it(client, scripted_api):
    scripted_api.answers["POST predictions"] = problem(
        "not-a-brain-mri", 422, detail="In colour.", id=str(PREDICTION_ID), access_token="t", validation={}
    )
    outcome = ask(client, b"photo", "1")

    assert isinstance(outcome, Refusal)
    assert (outcome.reason, outcome.prediction_id, outcome.access_token) == ("In colour.", PREDICTION_ID, "t")
    assert isinstance(outcome.prediction_id, UUID)


@pytest.mark.parametrize(("status", "is_passing"), [(400, False), (413, False), (422, False), (500, True)])
def test_failure_tells_whether_it_may_pass(client, scripted_api, status, is_passing):
    scripted_api.answers["POST predictions"] = problem("some-kind", status)

    outcome = ask(client, b"slice", "1")

    assert isinstance(outcome, Failure)
    assert outcome.is_passing is is_passing


@pytest.mark.parametrize(
    ("slug", "status", "error"),
    [
        ("rate-limited", 429, TooManyRequests),
        ("overloaded", 503, ServiceUnavailable),
        ("consent-outdated", 409, ConsentRefused),
    ],
)
def test_what_holds_for_every_image_is_raised(client, scripted_api, slug, status, error):
    scripted_api.answers["POST predictions"] = problem(slug, status)

    with pytest.raises(error):
        ask(client, b"slice", "1")


def test_service_that_is_away_is_raised():
    with BrainClient("http://127.0.0.1:9", timeout_s=1) as client, pytest.raises(ServiceUnreachable):
        ask(client, b"slice", "1")


def test_content_hash_tells_images_apart():
    assert content_hash(b"a") == content_hash(b"a") != content_hash(b"b")
