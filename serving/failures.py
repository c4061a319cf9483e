"""The last net: an error that nobody foresaw becomes a problem document like any other, and is logged in full."""

import logging

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.problems import failure_response

logger = logging.getLogger(__name__)


class Failures:
    """ASGI middleware that answers 500, inside of those that complete answers and log requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; answer in place of an application that failed before it could."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_started = False

        async def watched_send(message: Message) -> None:
            nonlocal is_started
            is_started = True
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except Exception as exc:
            if is_started:
                raise
            logger.exception("A request failed.", extra={"event.action": "fail"})
            await failure_response(Request(scope), exc)(scope, receive, send)
