import httpx
import pytest

from brain_core.client import BrainClient
from brain_core.storage import CHAMPION_KEY
from tests.fixtures_bundle import promote, publish_bundle, slice_jpeg, upload_bundle
from tests.fixtures_serving import fails_with, missing_parts, running_api, wait_until


def test_the_model_card_names_what_answers(client):
    card = client.model()
    assert (card.version, card.trained_on, card.metrics) == ("1", "sample", {"macro_f1": 1.0})


def test_without_a_champion_the_server_waits_for_one(serving_settings, bucket, images):
    with running_api(serving_settings) as url, BrainClient(url) as client:
        assert missing_parts(url) == ["model"]
        fails_with("model-unavailable", client.predict, slice_jpeg(), consent=True)
        fails_with("model-unavailable", client.model)
        assert list(images.keys("InferenceLogs/")) == []
        publish_bundle(bucket, "1")
        wait_until(client.is_ready)
        assert client.predict(slice_jpeg(), consent=True).model_version == "1"


def test_a_new_champion_answers_without_a_restart(client, champion_bucket):
    first = client.predict(slice_jpeg(), consent=True)
    publish_bundle(champion_bucket, "2")
    wait_until(lambda: client.model().version == "2")
    assert client.predict(slice_jpeg(), consent=True).model_version == "2"
    assert client.get(first.id, first.access_token).model_version == "1"


@pytest.mark.parametrize("fault", ["altered", "unrunnable", "not published"])
def test_a_bad_champion_leaves_the_old_one_answering(api_url, client, champion_bucket, fault):
    if fault == "not published":
        champion_bucket.write(CHAMPION_KEY, b'{"version": "2"}')
    else:
        upload_bundle(champion_bucket, "2", **({"model": b"no model"} if fault == "unrunnable" else {}))
        if fault == "altered":
            champion_bucket.write("models/2/model.onnx", b"other bytes than were hashed")
        promote(champion_bucket, "2")
    wait_until(lambda: httpx.get(f"{api_url}/readyz").json()["is_newest_model"] is False)
    assert client.predict(slice_jpeg(), consent=True).model_version == "1"
    publish_bundle(champion_bucket, "3")
    wait_until(lambda: client.model().version == "3")
    assert httpx.get(f"{api_url}/readyz").json()["is_newest_model"] is True
