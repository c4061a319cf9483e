"""API keys against the running server: who gets in, how often, and to what."""

import logging
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import create_engine

from brain_core.errors import DatabaseError, KeyNotFound, KeyTaken, SettingsError
from brain_core.keys import KeyGrant, KeyStore, Scope, key_hash
from brain_core.settings import Settings
from serving.main import require_keys_for_address
from tests.fixtures_bundle import slice_jpeg
from tests.fixtures_serving import FORM, changed, request_events, running_api, wait_until


@pytest.fixture
def store(database_url):
    engine = create_engine(database_url)
    yield KeyStore(engine)
    engine.dispose()


@pytest.fixture
def http(keyed_url):
    with httpx.Client(base_url=keyed_url, timeout=30) as http:
        yield http


def ask(http, key=None, path="/v1/model", **options):
    headers = {} if key is None else {"X-API-Key": key}
    return http.request(
        options.pop("method", "GET"), path, headers={**headers, **options.pop("headers", {})}, **options
    )


def predict(http, key):
    files = {"file": ("patient-name.jpg", slice_jpeg(), "image/jpeg")}
    return ask(http, key, "/v1/predictions", method="POST", files=files, data=FORM)


def slug(response):
    return response.status_code, response.json()["type"].removeprefix("/problems/")


def test_of_a_key_only_the_hash_is_stored(store):
    key, secret = store.create(KeyGrant("a", frozenset({Scope.PREDICT}), 7))
    assert secret.startswith("brain_")
    assert len(secret) > 40
    assert store.active() == {key_hash(secret): key}
    assert secret not in repr(store.all())
    assert (key.rate_per_minute, key.scopes, key.is_admin) == (7, {"predict"}, False)


def test_a_name_is_used_once_and_a_missing_one_is_told(store):
    store.create(KeyGrant("a", frozenset({Scope.READ})))
    with pytest.raises(KeyTaken, match="'a'"):
        store.create(KeyGrant("a", frozenset({Scope.READ})))
    with pytest.raises(KeyNotFound, match="brain keys list"):
        store.revoke("b")


def test_revoked_and_expired_keys_are_listed_but_not_good(store):
    past = datetime.now(UTC) - timedelta(seconds=1)
    store.create(KeyGrant("old", frozenset({Scope.READ}), None, past))
    store.create(KeyGrant("gone", frozenset({Scope.READ})))
    first = store.revoke("gone").revoked_at
    assert store.revoke("gone").revoked_at == first
    assert store.active() == {}
    assert {key.name: key.state(datetime.now(UTC)) for key in store.all()} == {"old": "expired", "gone": "revoked"}


def test_a_key_that_is_set_from_outside_can_be_changed_but_not_brought_back(store):
    grant = KeyGrant("dashboard", frozenset({Scope.ADMIN}))
    store.ensure(grant, "s" * 32)
    store.ensure(grant, "t" * 32)
    assert set(store.active()) == {key_hash("t" * 32)}
    store.revoke("dashboard")
    with pytest.raises(KeyTaken, match="revoked"):
        store.ensure(grant, "t" * 32)
    store.ensure(grant, "u" * 32)
    assert set(store.active()) == {key_hash("u" * 32)}
    with pytest.raises(KeyTaken):
        store.ensure(KeyGrant("other", frozenset({Scope.READ})), "u" * 32)


def test_a_store_whose_database_is_away_says_so(tmp_path):
    engine = create_engine(f"postgresql+psycopg2://nobody@/nothing?host={tmp_path}")
    with pytest.raises(DatabaseError):
        KeyStore(engine).active()


def test_without_a_key_only_what_is_open_is_answered(http):
    assert slug(ask(http)) == (401, "key-missing")
    assert slug(predict(http, None)) == (401, "key-missing")
    assert "X-API-Key" in ask(http).headers["www-authenticate"]
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/problems/key-missing"):
        assert http.get(path).status_code == 200, path


@pytest.mark.parametrize("key", ["", "wrong", "brain_" + "x" * 43, "k\u00e9y", "' OR 1=1 --", "x" * 4000])
def test_wrong_keys_are_refused(http, make_key, key):
    make_key("admin")
    assert slug(ask(http, key.encode())) in {(401, "key-refused"), (401, "key-missing")}


def test_a_key_is_good_for_its_scopes_only(http, make_key):
    predicting, reading, judging = make_key("predict"), make_key("read"), make_key("feedback")
    created = predict(http, predicting)
    assert created.status_code == 201
    assert slug(predict(http, reading)) == (403, "scope-missing")
    assert predict(http, reading).json()["scope"] == "predict"
    path = f"/v1/predictions/{created.json()['id']}"
    token = {"Authorization": f"Bearer {created.json()['access_token']}"}
    assert ask(http, reading, path, headers=token).status_code == 200
    assert slug(ask(http, predicting, path, headers=token)) == (403, "scope-missing")
    verdict = {"method": "PUT", "json": {"agrees": True}, "headers": token}
    assert slug(ask(http, reading, f"{path}/feedback", **verdict)) == (403, "scope-missing")
    assert ask(http, judging, f"{path}/feedback", **verdict).status_code == 200
    assert ask(http, predicting, path, method="DELETE", headers=token).status_code == 204


def test_a_key_does_not_open_other_peoples_predictions(http, make_key):
    key, other = make_key("predict", "read", "feedback"), make_key("predict")
    theirs, mine = predict(http, other).json(), predict(http, key).json()
    for token in (mine["access_token"], "guess", ""):
        headers = {"Authorization": f"Bearer {token}".strip()}
        for suffix in ("", "/image", "/explanation.png"):
            assert slug(ask(http, key, f"/v1/predictions/{theirs['id']}{suffix}", headers=headers))[0] == 404
        erased = ask(http, key, f"/v1/predictions/{theirs['id']}", method="DELETE", headers=headers)
        assert erased.status_code == 404


def test_a_revoked_key_and_an_expired_one_are_refused_within_the_time_that_keys_are_remembered(http, make_key, store):
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    revoked, expiring = make_key("read", name="r"), make_key("read", name="e", expires_at=soon)
    assert ask(http, revoked).status_code == ask(http, expiring).status_code == 200
    store.revoke("r")
    wait_until(lambda: ask(http, revoked).status_code == 401)
    wait_until(lambda: ask(http, expiring).status_code == 401)


def test_a_key_that_is_used_too_often_has_to_wait_and_others_do_not(http, make_key):
    busy, other = make_key("read", name="busy", rate_per_minute=12), make_key("read", name="other")
    answers = [ask(http, busy) for _ in range(4)]
    assert [answer.status_code for answer in answers[:2]] == [200, 200]
    assert slug(answers[3]) == (429, "rate-limited")
    assert 1 <= int(answers[3].headers["retry-after"]) <= 6
    assert ask(http, other).status_code == 200


def test_neither_keys_nor_names_nor_addresses_nor_bytes_are_logged(http, make_key, caplog):
    caplog.set_level(logging.DEBUG)
    key = make_key("predict")
    created = predict(http, key).json()
    ask(http, "brain_wrong-key-value", "/v1/predictions", method="POST", content=b"secret-body")
    wait_until(lambda: len(request_events(caplog)) == 2)
    text = "\n".join(str(record.__dict__) for record in caplog.records if not record.name.startswith(("http", "sql")))
    assert "brain.api_key.id" in text
    for private in (key, "wrong-key-value", "patient-name", "127.0.0.1", "secret-body", created["access_token"]):
        assert private not in text
    assert "\\xff\\xd8" not in text


def test_an_address_of_the_outside_needs_a_key_first(serving_settings, make_key):
    outside = changed(serving_settings, serving={"host": "0.0.0.0"})
    with pytest.raises(SettingsError, match="brain keys create"):
        require_keys_for_address(outside)
    make_key("read")
    require_keys_for_address(outside)


def test_an_address_of_this_machine_needs_none_and_a_database_that_is_away_stops_nothing(tmp_path, serving_settings):
    require_keys_for_address(serving_settings)
    away = {"url": f"postgresql://nobody@/nothing?host={tmp_path}"}
    require_keys_for_address(Settings(_env_file=None, database=away, serving={"host": "0.0.0.0"}))


def test_without_tables_it_is_said_what_to_do(own_postgres):
    database = {"url": own_postgres[1][0].get_uri()}
    with pytest.raises(SettingsError, match="brain db upgrade"):
        require_keys_for_address(Settings(_env_file=None, database=database, serving={"host": "0.0.0.0"}))


def test_pages_of_listed_sites_may_call_and_no_others(serving_settings, champion_bucket):
    settings = changed(serving_settings, serving={"require_keys": True, "cors_origins": ("https://a.example",)})
    with running_api(settings) as url:
        preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-API-Key"}
        allowed = httpx.options(f"{url}/v1/predictions", headers={"Origin": "https://a.example", **preflight})
        assert allowed.headers["access-control-allow-origin"] == "https://a.example"
        refused = httpx.options(f"{url}/v1/predictions", headers={"Origin": "https://b.example", **preflight})
        assert "access-control-allow-origin" not in refused.headers


def test_without_listed_sites_no_page_may_call(api_url):
    origin = {"Origin": "https://evil.example"}
    assert "access-control-allow-origin" not in httpx.get(f"{api_url}/v1/model", headers=origin).headers
    files = {"file": ("x", slice_jpeg())}
    sent = httpx.post(f"{api_url}/v1/predictions", files=files, data=FORM, headers=origin)
    assert slug(sent) == (403, "foreign-site")
    assert slug(httpx.get(f"{api_url}/v1/model", headers={"Host": "evil.example"})) == (403, "foreign-site")
