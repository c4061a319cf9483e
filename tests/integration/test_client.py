import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from brain_core.client import BrainClient
from brain_core.errors import ApiError
from tests.fixtures_bundle import photograph_jpeg, slice_jpeg


@pytest.fixture
def stranger():
    """Another web server than ours: answers 200 with a page, late under `/v1/model`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/v1/model":
                time.sleep(1)
            status = 502 if self.path.endswith("image") else 200
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_reader_uploads_sees_corrects_and_erases(client):
    created = client.predict(slice_jpeg("glioma"), consent=True)
    assert client.get(str(created.id), created.access_token).predicted_class == "glioma"
    assert client.image(created.id, created.access_token) == slice_jpeg("glioma")
    assert client.explanation_png(created.id, created.access_token).startswith(b"\x89PNG")
    assert client.feedback(created.id, created.access_token).agrees
    assert client.feedback(created.id, created.access_token, "pituitary").revision == 2
    client.erase(created.id, created.access_token)
    assert client.is_ready()
    assert client.model().version == "1"


def test_a_problem_document_comes_with_the_error(client):
    with pytest.raises(ApiError, match="colour") as caught:
        client.predict(photograph_jpeg(), consent=True)
    assert caught.value.status == 422
    assert caught.value.problem["type"] == "/problems/not-a-brain-mri"
    client.erase(caught.value.problem["id"], caught.value.problem["access_token"])


def test_consent_is_sent_as_given(client):
    with pytest.raises(ApiError) as caught:
        client.predict(slice_jpeg(), consent=False)
    assert caught.value.status == 400


@pytest.mark.parametrize("token", ["", "t\u00f6ken", "wrong"])
def test_a_wrong_token_is_an_error_whatever_it_is_made_of(client, token):
    created = client.predict(slice_jpeg(), consent=True)
    with pytest.raises(ApiError) as caught:
        client.get(created.id, token)
    assert caught.value.status == 404


def test_an_upload_that_is_too_large_still_gets_its_answer(client):
    with pytest.raises(ApiError) as caught:
        client.predict(b"x" * 30_000_000, consent=True)
    assert caught.value.status == 413


def test_a_service_that_is_away_is_status_0():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with BrainClient(f"http://127.0.0.1:{port}") as client:
        assert not client.is_ready()
        with pytest.raises(ApiError, match="cannot be reached") as caught:
            client.model()
    assert (caught.value.status, caught.value.problem) == (0, {})


def test_a_service_that_does_not_answer_in_time_is_status_0(stranger):
    with BrainClient(stranger, timeout_s=0.2) as client, pytest.raises(ApiError, match="in time") as caught:
        client.model()
    assert caught.value.status == 0


def test_another_service_is_told_apart(stranger):
    with BrainClient(stranger) as client:
        with pytest.raises(ApiError, match="something else"):
            client.get("7", "token")
        with pytest.raises(ApiError, match="502"):
            client.image("7", "token")


def test_an_address_that_is_none_is_refused():
    with pytest.raises(ApiError, match="address"):
        BrainClient("http://[::1")
