"""The running server under load, against slow and endless clients, and while it is stopped."""

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from serving import protocol
from serving.predicting import Predictor
from tests.fixtures_bundle import slice_jpeg
from tests.fixtures_serving import FORM, changed, raw_exchange, running_api, wait_until

HEAD = "POST /v1/predictions HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
FILE_HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n\xff\xd8\xff'


@pytest.fixture
def patient(serving_settings, champion_bucket):
    """A running API with short times, so that tests need not wait long."""
    settings = changed(serving_settings, serving={"head_timeout_s": 0.5, "body_timeout_s": 0.8, "connections": 40})
    with running_api(settings) as url:
        yield url


@pytest.fixture
def held(monkeypatch):
    """Uploads wait in front of the model until the event is set."""
    released = threading.Event()
    create = Predictor.create

    def waiting_create(self, *args, **kwargs):
        assert released.wait(30)
        return create(self, *args, **kwargs)

    monkeypatch.setattr(Predictor, "create", waiting_create)
    yield released
    released.set()


def upload(url):
    files = {"file": ("x", slice_jpeg())}
    return httpx.post(f"{url}/v1/predictions", files=files, data=FORM, timeout=60)


def figure(url, name):
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), None)


def seconds(call, *args):
    started = time.monotonic()
    result = call(*args)
    return time.monotonic() - started, result


def test_beyond_the_queue_503_comes_at_once_and_what_was_accepted_is_answered(serving_settings, champion_bucket, held):
    with running_api(changed(serving_settings, serving={"queue": 3})) as url, ThreadPoolExecutor(3) as pool:
        accepted = [pool.submit(upload, url) for _ in range(3)]
        wait_until(lambda: figure(url, "brain_uploads_in_work") == 3)
        refused = upload(url)
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        held.set()
        assert [future.result().status_code for future in accepted] == [201] * 3
        wait_until(lambda: figure(url, "brain_uploads_in_work") == 0)
        assert upload(url).status_code == 201


def test_unfinished_uploads_hold_no_more_memory_than_they_may(serving_settings, champion_bucket):
    settings = changed(
        serving_settings, serving={"buffer_bytes": 2**20}, upload={"max_bytes": 2**20, "max_pixels": 1_000_000}
    )
    with running_api(settings) as url, contextlib.ExitStack() as connections:
        address = httpx.URL(url)
        for _ in range(2):
            connection = connections.enter_context(socket.create_connection((address.host, address.port), timeout=20))
            head = f"{HEAD}Content-Length: 1000000\r\n\r\n".encode()
            connection.sendall(head + FILE_HEAD + b"x" * 700_000)
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"/problems/overloaded" in answer


def test_stopping_finishes_what_was_accepted(serving_settings, champion_bucket, held, images):
    with ThreadPoolExecutor(2) as pool:
        with contextlib.ExitStack() as running:
            url = running.enter_context(running_api(serving_settings))
            accepted = [pool.submit(upload, url) for _ in range(2)]
            wait_until(lambda: figure(url, "brain_uploads_in_work") == 2)
            threading.Timer(0.5, held.set).start()
        answers = [future.result() for future in accepted]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert len(list(images.keys("InferenceLogs/"))) == 2


def test_a_head_that_does_not_come_is_not_waited_for(patient):
    for start in (b"", b"GET /livez HTTP/1.1\r\nHost: loc", b"\r\n"):
        took, answer = seconds(raw_exchange, patient, start)
        assert answer == b""
        assert took < 5


def test_a_head_that_drips_in_is_cut(patient):
    address = httpx.URL(patient)
    connection = socket.create_connection((address.host, address.port))
    with connection, pytest.raises(OSError):  # noqa: PT011 - a reset or a broken pipe
        _drip(connection)


def _drip(connection):
    connection.sendall(b"GET /livez HTTP/1.1\r\n")
    for number in range(200):
        connection.sendall(f"X-{number}: y\r\n".encode())
        time.sleep(0.05)


def test_an_endless_head_is_cut(patient):
    with pytest.raises(OSError):  # noqa: PT011 - a reset or a broken pipe
        assert raw_exchange(patient, b"GET /livez HTTP/1.1\r\n" + b"X: " + b"y" * 4_000_000) == b"cut"


def test_a_body_that_drips_in_is_answered_408(patient):
    answer = raw_exchange(patient, f"{HEAD}Content-Length: 5000\r\n\r\n".encode() + FILE_HEAD)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"/problems/request-too-slow" in answer
    feedback = "PUT /v1/predictions/0190a5a0-7c1b-7d55-9a57-5be0a30f2a11/feedback HTTP/1.1\r\nHost: localhost\r\n"
    head = f"{feedback}Content-Type: application/json\r\nContent-Length: 50\r\n\r\n"
    assert raw_exchange(patient, head.encode() + b"{").startswith(b"HTTP/1.1 408 ")


def test_an_endless_body_is_refused_and_then_cut(patient, monkeypatch):
    monkeypatch.setattr(protocol, "LINGER_S", 0.5)
    address = httpx.URL(patient)
    with socket.create_connection((address.host, address.port), timeout=20) as connection:
        connection.sendall(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
        block = b"x" * 50_000
        connection.sendall(b"%x\r\n%s\r\n" % (len(FILE_HEAD), FILE_HEAD))
        sent, started = 0, time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - started < 15:
                connection.sendall(b"%x\r\n%s\r\n" % (len(block), block))
                sent += len(block)
        assert time.monotonic() - started < 15
    assert httpx.get(f"{patient}/livez").status_code == 200


def test_a_body_that_no_route_needs_is_refused(patient):
    path = f"{patient}/v1/predictions/0190a5a0-7c1b-7d55-9a57-5be0a30f2a11/feedback"
    response = httpx.put(path, content=b" " * 100_000, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["type"]) == (413, "/problems/request-too-large")


def test_idle_connections_do_not_keep_others_out(patient):
    address = httpx.URL(patient)
    with contextlib.ExitStack() as connections:
        for _ in range(60):
            connections.enter_context(socket.create_connection((address.host, address.port)))
        wait_until(lambda: _is_answered(patient))


def _is_answered(url):
    try:
        return httpx.get(f"{url}/livez", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_what_is_no_http_is_answered_with_a_problem_document(patient):
    answer = raw_exchange(patient, b"HELO mail.example\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


def test_several_requests_on_one_connection_are_answered_each(patient):
    one = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert raw_exchange(patient, one + one + last).count(b"HTTP/1.1 200 ") == 3


def test_a_refused_upload_does_not_end_the_connection(patient):
    with httpx.Client(base_url=patient) as http:
        files = {"file": ("x", b"GIF89a-not-an-image")}
        assert http.post("/v1/predictions", files=files, data=FORM).status_code == 415
        assert http.get("/livez").status_code == 200
