import pytest

from brain_core.errors import ConsentRefused, ServiceUnavailable, TooManyRequests
from dashboard import batch
from dashboard.batch import work_off
from dashboard.outcomes import Answer, Failure
from dashboard.uploads import Upload, Uploads
from tests.fixtures_dashboard import created, problem

GOOD = (201, created().model_dump_json().encode())


@pytest.fixture
def uploads() -> Uploads:
    held = Uploads()
    held.add(Upload(f"{number}.jpg", b"slice %d" % number) for number in range(3))
    return held


@pytest.fixture
def naps(monkeypatch) -> list[float]:
    """The waits, which are not waited for."""
    taken: list[float] = []
    monkeypatch.setattr(batch.time, "sleep", taken.append)
    return taken


def test_every_image_is_sent_once_under_its_key_and_progress_is_told(client, uploads, scripted_api):
    told = []
    work_off(client, uploads, "2026-11", lambda *progress: told.append(progress))

    assert told == [(0, 3, "0.jpg"), (1, 3, "1.jpg"), (2, 3, "2.jpg")]
    assert all(isinstance(outcome, Answer) for outcome in uploads.outcomes.values())
    sent = [headers["Idempotency-Key"] for headers in scripted_api.headers if "Idempotency-Key" in headers]
    assert len(set(sent)) == 3
    work_off(client, uploads, "2026-11", lambda *_: None)
    assert scripted_api.count("POST predictions") == 3


def test_broken_image_does_not_stop_the_others(client, uploads, scripted_api):
    scripted_api.scripts["POST predictions"] = [GOOD, problem("invalid-image", 400), GOOD]

    work_off(client, uploads, "1", lambda *_: None)

    kinds = [type(outcome) for outcome in uploads.outcomes.values()]
    assert kinds == [Answer, Failure, Answer]


@pytest.mark.parametrize(("slug", "status"), [("rate-limited", 429), ("overloaded", 503)])
def test_full_service_is_waited_for_as_long_as_it_says(client, uploads, scripted_api, naps, slug, status):
    scripted_api.scripts["POST predictions"] = [GOOD, problem(slug, status), GOOD, GOOD]
    scripted_api.retry_after_s = 7

    work_off(client, uploads, "1", lambda *_: None)

    assert naps == [7]
    assert not uploads.waiting()
    keys = [headers["Idempotency-Key"] for headers in scripted_api.headers]
    assert keys[1] == keys[2]


def test_service_that_stays_full_is_told_and_what_is_done_stays(client, uploads, scripted_api, naps):
    scripted_api.scripts["POST predictions"] = [GOOD]
    scripted_api.answers["POST predictions"] = problem("rate-limited", 429)
    scripted_api.retry_after_s = 1

    with pytest.raises(TooManyRequests):
        work_off(client, uploads, "1", lambda *_: None)
    assert len(naps) == batch.PATIENCE
    assert len(uploads.waiting()) == 2


@pytest.mark.parametrize(
    ("slug", "status", "retry_after_s", "error"),
    [("rate-limited", 429, 600, TooManyRequests), ("model-unavailable", 503, 5, ServiceUnavailable)],
)
def test_long_wait_and_missing_model_are_left_to_the_reader(
    client, uploads, scripted_api, naps, slug, status, retry_after_s, error
):
    scripted_api.answers["POST predictions"] = problem(slug, status)
    scripted_api.retry_after_s = retry_after_s

    with pytest.raises(error):
        work_off(client, uploads, "1", lambda *_: None)
    assert naps == []
    assert len(uploads.waiting()) == 3


def test_changed_consent_text_stops_before_anything_else_is_sent(client, uploads, scripted_api):
    scripted_api.answers["POST predictions"] = problem("consent-outdated", 400)

    with pytest.raises(ConsentRefused):
        work_off(client, uploads, "1", lambda *_: None)
    assert scripted_api.count("POST predictions") == 1
    assert len(uploads.waiting()) == 3
