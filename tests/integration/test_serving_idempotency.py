"""An upload that is sent again with its `Idempotency-Key` gets the same answer and is kept once."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from brain_core.client import BrainClient
from brain_core.errors import AlreadyErased, RequestInvalid, StateConflict
from brain_core.labels import CONSENT_VERSION
from tests.fixtures_bundle import photograph_jpeg, slice_jpeg
from tests.fixtures_crashing import Storage
from tests.fixtures_serving import ADMIN_KEY, READER_KEY, running_api

FORM = {"consent": "true", "consent_version": CONSENT_VERSION}


@pytest.fixture
def storage(serving_settings):
    storage = Storage(serving_settings)
    yield storage
    storage.engine.dispose()


@pytest.fixture
def key():
    return str(uuid4())


def send(url, data, key, api_key=None):
    headers = {"Idempotency-Key": key} | ({"X-API-Key": api_key} if api_key else {})
    return httpx.post(f"{url}/v1/predictions", files={"file": ("x", data)}, data=FORM, headers=headers, timeout=60)


@pytest.mark.parametrize(("data", "status"), [(slice_jpeg(), 201), (photograph_jpeg(), 422)], ids=["slice", "refused"])
def test_the_same_upload_gets_the_same_answer_also_after_a_restart(
    serving_settings, champion_bucket, storage, key, data, status
):
    with running_api(serving_settings) as url:
        first, second = send(url, data, key), send(url, data, key)
    with running_api(serving_settings) as url:
        third = send(url, data, key)
        assert [answer.status_code for answer in (first, second, third)] == [status] * 3
        assert first.json() == second.json() == third.json()
        replayed = [answer.headers.get("idempotent-replayed") for answer in (first, second, third)]
        assert replayed == [None, "true", "true"]
        with BrainClient(url) as client:
            assert client.image(first.json()["id"], third.json()["access_token"]) == data
    assert (len(storage.rows()), storage.is_whole()) == (1, True)


def test_the_same_key_with_another_image_is_refused_and_nothing_is_kept(api_url, client, storage, key):
    client.predict(slice_jpeg("glioma"), consent=True, idempotency_key=key)
    with pytest.raises(StateConflict) as caught:
        client.predict(slice_jpeg("pituitary"), consent=True, idempotency_key=key)
    assert (caught.value.status, caught.value.problem["type"]) == (422, "/problems/idempotency-key-reused")
    assert (len(storage.rows()), storage.is_whole()) == (1, True)


def test_the_same_upload_many_times_at_once_is_kept_once(api_url, storage, key):
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: send(api_url, slice_jpeg(), key), range(12)))
    assert {answer.status_code for answer in answers} == {201}
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert (len(storage.rows()), storage.is_whole()) == (1, True)


def test_a_late_retry_does_not_bring_an_erased_image_back(client, storage, key):
    kept = client.predict(slice_jpeg(), consent=True, idempotency_key=key)
    client.erase(kept.id, kept.access_token)
    with pytest.raises(AlreadyErased):
        client.predict(slice_jpeg(), consent=True, idempotency_key=key)
    assert storage.image_keys() == []


def test_keys_of_two_callers_do_not_meet(api_url, storage, key):
    answers = [send(api_url, slice_jpeg(), key, api_key) for api_key in (None, READER_KEY, ADMIN_KEY)]
    assert len({answer.json()["id"] for answer in answers}) == 3
    assert len(storage.rows()) == 3


@pytest.mark.parametrize("bad", ["short", "x" * 256, "has spaces in it, many"])
def test_a_key_that_is_no_good_is_refused(client, storage, bad):
    with pytest.raises(RequestInvalid) as caught:
        client.predict(slice_jpeg(), consent=True, idempotency_key=bad)
    assert (caught.value.status, caught.value.problem["type"]) == (400, "/problems/idempotency-key-invalid")
    assert storage.rows() == {}
