"""HTTP connections that cannot be held open for nothing: uvicorn's protocol with time and size limits.

uvicorn itself waits for the head of a request for ever, takes heads of any length, and reads on when a body was
refused in the middle.
"""

import asyncio
import json
from asyncio import TimerHandle
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from brain_core.labels import NOTICE
from serving.problems import MEDIA_TYPE

MAX_HEAD_BYTES = 64 * 1024
LINGER_S = 5.0
"""So long the rest of a refused body is read and dropped, so that the answer reaches a client that only then looks."""

STALL_S = 30.0
"""So long a client may take no byte of its answer."""


@dataclass(frozen=True)
class ConnectionLimits:
    """Seconds for the head of a request to arrive; connections that are open at a time."""

    head_timeout_s: float
    max_connections: int


class BoundedProtocol(HttpToolsProtocol):
    """One connection of a client.

    Args:
        limits: of the server.
        arguments: uvicorn's own.
    """

    def __init__(self, *, limits: ConnectionLimits, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._limits = limits
        # However logging is set up: an access log has addresses in it.
        self.access_log = False
        self._is_head_open, self._head_bytes = False, 0
        self._head_timer: TimerHandle | None = None
        self._linger_timer: TimerHandle | None = None
        self._stall_timer: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected; beyond the bound it is cut."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections:
            transport.abort()
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left, or was cut."""
        super().connection_lost(exc)
        for timer in (self._head_timer, self._linger_timer, self._stall_timer, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Bytes came; those of a head are counted until it is complete."""
        super().data_received(data)
        if self._is_head_open:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.transport.abort()
        elif self._is_idle():
            # Bytes that begin no request must not keep a connection open.
            self._await_head()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._is_head_open, self._head_bytes = True, 0
        self._await_head()

    def on_headers_complete(self) -> None:
        """The head is there; the body has a time of its own (`bodies.BodyLimits`)."""
        self._is_head_open = False
        self._head_timer = _cancelled(self._head_timer)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is there."""
        self._linger_timer = _cancelled(self._linger_timer)
        super().on_message_complete()
        self.cycle.more_body = False

    def on_response_complete(self) -> None:
        """The answer is written; what is still to come of a refused body is dropped for a while."""
        cycle = self.cycle
        super().on_response_complete()
        if cycle.response_complete and cycle.more_body and self._linger_timer is None:
            self._linger_timer = self.loop.call_later(LINGER_S, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP: a problem document like any other, then the end."""
        problem = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": msg, "notice": NOTICE}
        body = json.dumps(problem).encode()
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(f"{head}connection: close\r\n\r\n".encode() + body)
        self.transport.close()

    def pause_writing(self) -> None:
        """The client takes no more bytes at present."""
        super().pause_writing()
        self._stall_timer = self.loop.call_later(STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        """The client takes bytes again."""
        self._stall_timer = _cancelled(self._stall_timer)
        super().resume_writing()

    def _is_idle(self) -> bool:
        return self.cycle is None or (self.cycle.response_complete and not self.cycle.more_body)

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._limits.head_timeout_s, self.transport.abort)


def _cancelled(timer: TimerHandle | None) -> TimerHandle | None:
    """What takes the place of a timer that is no longer needed."""
    if timer is not None:
        timer.cancel()
    return None
