"""One log event for each request: what was asked, what came of it, how long it took.

No file names, addresses, query strings, tokens or image bytes.
"""

import logging
import time
from http import HTTPStatus
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

_FIELDS = "brain.log_fields"
_PROBES = ("/livez", "/readyz")


def note(request: HTTPConnection, **fields: Any) -> None:
    """Add fields (dotted ECS names) to the event of this request."""
    request.scope.setdefault(_FIELDS, {}).update(fields)


class RequestLog:
    """ASGI middleware that logs each request once, after its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and log how it ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started_ns = time.perf_counter_ns()
        try:
            await self._app(scope, receive, watched_send)
        finally:
            _log(scope, status, time.perf_counter_ns() - started_ns)


def _log(scope: Scope, status: int, duration_ns: int) -> None:
    route = scope.get("route")
    template = getattr(route, "path", "unknown")
    fields = {
        "event.action": getattr(route, "name", "unknown"),
        "event.outcome": "success" if status < HTTPStatus.BAD_REQUEST else "failure",
        "event.duration": duration_ns,
        "http.request.method": scope["method"],
        "http.response.status_code": status,
        "brain.http.route": template,
        **scope.get(_FIELDS, {}),
    }
    logger.log(_level(template, status), "%s %s %d", scope["method"], template, status, extra=fields)


def _level(template: str, status: int) -> int:
    if template in _PROBES:
        return logging.DEBUG
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return logging.ERROR
    return logging.WARNING if status >= HTTPStatus.BAD_REQUEST else logging.INFO
