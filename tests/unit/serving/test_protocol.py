import asyncio
import pickle
from functools import partial

import pytest
import uvicorn
from uvicorn.server import ServerState

from serving import protocol
from serving.protocol import MAX_HEAD_BYTES, BoundedProtocol, ConnectionLimits

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LIMITS = ConnectionLimits(head_timeout_s=0.05, max_connections=2)


class Transport(asyncio.Transport):
    """A connection that remembers what was written and how it ended."""

    def __init__(self):
        super().__init__()
        self.written, self.end = b"", None

    def write(self, data):
        self.written += data

    def close(self):
        self.end = self.end or "closed"

    def abort(self):
        self.end = "aborted"

    def is_closing(self):
        return self.end is not None

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


async def answer(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def server():
    """Opens connections; use it inside of a loop."""
    config, state = uvicorn.Config(answer, log_config=None), ServerState()

    def connect():
        connection, transport = (
            BoundedProtocol(config=config, server_state=state, app_state={}, limits=LIMITS),
            Transport(),
        )
        connection.connection_made(transport)
        return connection, transport

    return connect


def run(story):
    asyncio.run(story())


def test_what_uvicorn_starts_in_its_workers_can_be_sent_to_them():
    assert pickle.loads(pickle.dumps(partial(BoundedProtocol, limits=LIMITS))).keywords == {"limits": LIMITS}  # noqa: S301


@pytest.mark.parametrize("start", [b"", b"GET / HT", b"\r\n"])
def test_a_head_that_does_not_come_ends_the_connection(server, start):
    async def story():
        connection, transport = server()
        connection.data_received(start)
        await asyncio.sleep(0.15)
        assert transport.end == "aborted"

    run(story)


def test_a_whole_head_in_time_is_answered_and_the_connection_stays(server):
    async def story():
        connection, transport = server()
        connection.data_received(GET)
        await asyncio.sleep(0.15)
        assert transport.written.endswith(b"ok")
        assert transport.end is None
        connection.connection_lost(None)

    run(story)


def test_a_second_head_has_its_time_too(server):
    async def story():
        connection, transport = server()
        connection.data_received(GET)
        await asyncio.sleep(0.02)
        connection.data_received(b"GET / HT")
        await asyncio.sleep(0.15)
        assert transport.end == "aborted"

    run(story)


def test_an_endless_head_ends_the_connection(server):
    async def story():
        connection, transport = server()
        connection.data_received(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(MAX_HEAD_BYTES // 1000 + 1):
            connection.data_received(b"x" * 1000)
        assert transport.end == "aborted"

    run(story)


def test_connections_beyond_the_bound_are_cut(server):
    async def story():
        ends = [server()[1].end for _ in range(3)]
        assert ends == [None, None, "aborted"]

    run(story)


def test_the_rest_of_a_refused_body_is_dropped_for_a_while_only(server, monkeypatch):
    monkeypatch.setattr(protocol, "LINGER_S", 0.1)

    async def story():
        connection, transport = server()
        connection.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        await asyncio.sleep(0.02)
        assert transport.written.endswith(b"ok")
        connection.data_received(b"x" * 1000)
        assert transport.end is None
        await asyncio.sleep(0.2)
        assert transport.end == "aborted"

    run(story)


def test_a_body_that_ends_meanwhile_leaves_the_connection_usable(server, monkeypatch):
    monkeypatch.setattr(protocol, "LINGER_S", 0.1)

    async def story():
        connection, transport = server()
        connection.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
        await asyncio.sleep(0.02)
        connection.data_received(b"rest")
        connection.data_received(GET)
        await asyncio.sleep(0.2)
        assert transport.written.count(b"HTTP/1.1 200") == 2
        assert transport.end is None
        connection.connection_lost(None)

    run(story)


def test_a_client_that_takes_nothing_is_cut_and_one_that_does_again_is_not(server, monkeypatch):
    monkeypatch.setattr(protocol, "STALL_S", 0.05)

    async def story():
        (slow, slow_transport), (fine, fine_transport) = server(), server()
        for connection in (slow, fine):
            connection.data_received(GET)
            connection.pause_writing()
        fine.resume_writing()
        await asyncio.sleep(0.15)
        assert (slow_transport.end, fine_transport.end) == ("aborted", None)
        # As the loop does after it; the answer waits for that.
        slow.connection_lost(None)
        fine.connection_lost(None)

    run(story)


def test_what_is_no_http_is_answered_with_a_problem_document(server):
    async def story():
        connection, transport = server()
        connection.data_received(b"HELO mail.example\r\n\r\n")
        assert b"application/problem+json" in transport.written
        assert transport.end == "closed"

    run(story)
