"""Keeps pages of other sites away from a server that trusts everyone on its machine.

A page can give 127.0.0.1 a name of its own, and can send forms to any address; the browser's user need not notice.
"""

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from brain_core.errors import ForeignSite
from brain_core.setting_groups import ServingSettings
from serving.problem_types import problem_type
from serving.problems import problem_response

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class ForeignSites:
    """ASGI middleware: a server that needs no keys answers only to this machine's names and to its own pages."""

    def __init__(self, app: ASGIApp, settings: ServingSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and not self._settings.needs_keys:
            fault = self._fault(Headers(scope=scope), scope["method"])
            if fault:
                response = problem_response(Request(scope), problem_type(ForeignSite), fault)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _fault(self, headers: Headers, method: str) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not is_this_machine(host):
            return "This server answers only as 127.0.0.1 or localhost."
        if method in _SAFE_METHODS or origin is None or origin in self._settings.cors_origins:
            return None
        is_own = urlsplit(origin).netloc == host
        return None if is_own else "This server takes nothing from pages of other sites."


@lru_cache
def is_this_machine(host: str) -> bool:
    """Is a `Host` header one of this machine's own names?"""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
