"""The models in the bucket, and requests to make one the champion."""

import httpx
import pytest

from brain_core.client import BrainClient
from brain_core.database import open_engine
from brain_core.errors import AccessRefused, ConsentRefused, NothingThere
from brain_core.labels import CONSENT_TEXT, CONSENT_VERSION
from brain_core.promotion_requests import DONE, PromotionQueue
from brain_core.storage import model_key
from tests.fixtures_bundle import slice_jpeg, upload_bundle
from tests.fixtures_serving import READER_KEY


def test_every_version_is_listed_with_its_figures_and_decision(admin, champion_bucket):
    upload_bundle(champion_bucket, "2")
    champion_bucket.write(model_key("2", "decision.json"), b'{"decision": {"is_promoted": false, "reason": "A tie."}}')
    listed = admin.models()
    assert [(model.version, model.is_champion) for model in listed.models] == [("2", False), ("1", True)]
    assert listed.models[0].decision["decision"]["reason"] == "A tie."
    assert (listed.models[1].metrics, listed.models[1].trained_on) == ({"macro_f1": 1.0}, "sample")
    assert (listed.champion, listed.promoted_by, listed.requests) == ("1", "test", [])


def test_a_promotion_is_queued_once_and_its_outcome_is_shown(admin, champion_bucket, database_url):
    upload_bundle(champion_bucket, "2")
    first, again = admin.promote("2"), admin.promote("2")
    assert (first.id, first.state, first.requested_by) == (again.id, "queued", "reviewer")
    engine = open_engine(database_url)
    PromotionQueue(engine).finish(first.id, DONE, "Version 2 is the champion now.")
    engine.dispose()
    (shown,) = admin.models().requests
    assert (shown.state, shown.message) == ("done", "Version 2 is the champion now.")
    assert shown.finished_at is not None


@pytest.mark.parametrize("version", ["9", "..", "%2e%2e"])
def test_a_version_that_is_not_there_cannot_be_asked_for(admin, version):
    with pytest.raises(NothingThere):
        admin.promote(version)
    assert admin.models().requests == []


def test_only_an_admin_sees_and_promotes_models(client, api_url):
    with BrainClient(api_url, api_key=READER_KEY) as reader:
        for call in (client.models, reader.models, lambda: reader.promote("1"), lambda: client.promote("1")):
            with pytest.raises(AccessRefused):
                call()


def test_the_consent_text_is_served_with_its_version(client, api_url):
    text = client.consent()
    assert (text.version, text.text, text.is_current) == (CONSENT_VERSION, CONSENT_TEXT, True)
    assert client.consent(CONSENT_VERSION) == text
    with pytest.raises(ConsentRefused):
        client.consent("1999-01")
    with pytest.raises(ConsentRefused) as caught:
        client.predict(slice_jpeg(), consent=True, consent_version="1999-01")
    assert caught.value.problem["type"] == "/problems/consent-outdated"
    assert httpx.get(f"{api_url}/v1/consent").status_code == 200
