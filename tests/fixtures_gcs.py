"""A Google Cloud Storage emulator for the session, and servers that go away or refuse."""

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from gcp_storage_emulator.server import create_server
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from tests.fixtures_platform import free_ports


@contextmanager
def running_emulator() -> Iterator[str]:
    """Address of an empty emulator that keeps everything in memory."""
    port = free_ports(("GCS",))["GCS"]
    server = create_server("127.0.0.1", port, in_memory=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


@contextmanager
def answering_server(status: int, answer: dict[str, Any]) -> Iterator[str]:
    """Address of a server that answers everything with one status and one JSON document."""
    body = json.dumps(answer).encode()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def gcs_client_of(url: str) -> storage.Client:
    """A client of the server at `url`, without credentials."""
    return storage.Client(project="test", credentials=AnonymousCredentials(), client_options={"api_endpoint": url})


@pytest.fixture(scope="session")
def gcs_url() -> Iterator[str]:
    """Address of the session's emulator."""
    with running_emulator() as url:
        yield url


@pytest.fixture(scope="session")
def gcs_client(gcs_url: str) -> storage.Client:
    return gcs_client_of(gcs_url)


@pytest.fixture
def gcs_bucket(gcs_client: storage.Client) -> storage.Bucket:
    """A new, empty bucket."""
    return gcs_client.create_bucket(f"test-{uuid.uuid4().hex}")
