"""One log event for each request: what was asked, what came of it, how long it took.

No file names, addresses, query strings, tokens or image bytes.
"""

import logging
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

Observer = Callable[[Mapping[str, Any], str, float], None]
"""Is told of each request: the fields of its event, its `Server-Timing`, its seconds."""

_FIELDS = "brain.log_fields"
_MESSAGE = "%s %s %d"
_IN_MESSAGE = ("http.request.method", "brain.http.route", "http.response.status_code")
_PROBES = ("/livez", "/readyz", "/metrics")


def note(request: HTTPConnection, **fields: Any) -> None:
    """Add fields (dotted ECS names) to the event of this request."""
    request.scope.setdefault(_FIELDS, {}).update(fields)


class RequestLog:
    """ASGI middleware that logs each request once, after its answer, and tells `observe` of it."""

    def __init__(self, app: ASGIApp, observe: Observer | None = None) -> None:
        self._app, self._observe = app, observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and log how it ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start: Message = {"status": int(HTTPStatus.INTERNAL_SERVER_ERROR), "headers": []}

        async def watched_send(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            await send(message)

        started_ns = time.perf_counter_ns()
        try:
            await self._app(scope, receive, watched_send)
        finally:
            duration_ns = time.perf_counter_ns() - started_ns
            fields = _event(scope, start["status"], duration_ns)
            logger.log(_level(fields), _MESSAGE, *(fields[name] for name in _IN_MESSAGE), extra=fields)
            if self._observe is not None:
                self._observe(fields, Headers(raw=start["headers"]).get("Server-Timing", ""), duration_ns / 1e9)


def _event(scope: Scope, status: int, duration_ns: int) -> dict[str, Any]:
    route = scope.get("route")
    return {
        "event.action": getattr(route, "name", "unknown"),
        "event.outcome": "success" if status < HTTPStatus.BAD_REQUEST else "failure",
        "event.duration": duration_ns,
        "http.request.method": scope["method"],
        "http.response.status_code": status,
        "brain.http.route": getattr(route, "path", "unknown"),
        **scope.get(_FIELDS, {}),
    }


def _level(fields: Mapping[str, Any]) -> int:
    status = fields["http.response.status_code"]
    if fields["brain.http.route"] in _PROBES:
        return logging.DEBUG
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return logging.ERROR
    return logging.WARNING if status >= HTTPStatus.BAD_REQUEST else logging.INFO
