"""Bodies arrive in time and within bounds, whichever route reads them."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from brain_core.errors import RequestTooLarge, RequestTooSlow

OTHER_BYTES = 64 * 1024
"""No request but an upload needs more."""


class BodyLimits:
    """ASGI middleware: a body that is late or too long ends in an error where it is read.

    Args:
        app: the application.
        timeout_s: from the head of the request to the end of its body.
        upload_path: where uploads go; their bytes are counted where they are parsed.
    """

    def __init__(self, app: ASGIApp, timeout_s: float, upload_path: str) -> None:
        self._app, self._timeout_s, self._upload_path = app, timeout_s, upload_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a guarded body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_upload = scope["path"] == self._upload_path
        body = _Body(receive, self._timeout_s, float("inf") if is_upload else OTHER_BYTES)
        await self._app(scope, body.receive, send)


class _Body:
    def __init__(self, receive: Receive, timeout_s: float, max_bytes: float) -> None:
        self._receive, self._timeout_s, self._max_bytes = receive, timeout_s, max_bytes
        self._deadline = asyncio.get_running_loop().time() + timeout_s
        self._bytes = 0
        self._is_complete = False

    async def receive(self) -> Message:
        if self._is_complete:
            # What comes now is only the news that the client left, and may take as long as it likes.
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError as exc:
            raise RequestTooSlow(f"The body was not complete after {self._timeout_s:g} seconds.") from exc
        self._is_complete = not message.get("more_body", False)
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._max_bytes:
            raise RequestTooLarge(f"The body has more than {self._max_bytes:g} bytes.")
        return message
