"""What every answer carries: a request id, the security headers, and where the time went."""

import re
import time
from typing import Any

import uuid6
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.request_log import note

REQUEST_ID = "X-Request-ID"

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_STAGES = "brain.stages_ms"
_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_CSP = "default-src 'none'; frame-ancestors 'none'"
_PAGES = "/docs"
_PAGE_CSP = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'"
)
"""The page about the API has a line of script in itself; everything that it loads comes from this server."""


def note_stage(request: HTTPConnection, name: str, milliseconds: float) -> None:
    """Tell how long a stage took that is over before the route begins."""
    request.scope.setdefault(_STAGES, {})[name] = milliseconds


class ResponseHeaders:
    """ASGI middleware that completes the headers of every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and complete the headers of its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        note(HTTPConnection(scope), **{"http.request.id": request_id})

        async def completing_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                _secure(headers, scope["path"])
                _add_timing(headers, scope, (time.perf_counter() - started) * 1000)
            await send(message)

        await self._app(scope, receive, completing_send)


def _request_id(scope: Scope) -> str:
    sent = Headers(scope=scope).get(REQUEST_ID, "")
    return sent if _SANE_ID.fullmatch(sent) else str(uuid6.uuid7())


def _secure(headers: MutableHeaders, path: str) -> None:
    headers.raw.extend(_SECURITY)
    headers["Content-Security-Policy"] = _PAGE_CSP if path.startswith(_PAGES) else _CSP
    headers.setdefault("Cache-Control", "no-store")


def _add_timing(headers: MutableHeaders, scope: Scope, total_ms: float) -> None:
    before: dict[str, Any] = scope.get(_STAGES, {})
    stages = [f"{name};dur={ms:.3f}" for name, ms in before.items()]
    stages += filter(None, (headers.get("Server-Timing"), f"total;dur={total_ms:.3f}"))
    headers["Server-Timing"] = ", ".join(stages)
