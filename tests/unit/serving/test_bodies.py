import asyncio

import pytest

from brain_core.errors import RequestTooLarge, RequestTooSlow
from serving.bodies import OTHER_BYTES, BodyLimits

UPLOAD = "/v1/predictions"


def read_all(chunks, path="/v1/x", timeout_s=5.0, pause_s=0.0):
    async def app(scope, receive, send):
        while (await receive()).get("more_body"):
            pass

    left = list(chunks)

    async def receive():
        await asyncio.sleep(pause_s)
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    asyncio.run(BodyLimits(app, timeout_s, UPLOAD)({"type": "http", "path": path}, receive, None))
    return left


def test_a_body_within_bounds_passes():
    assert read_all([b"x" * OTHER_BYTES]) == []


def test_a_longer_one_is_not_read_to_its_end():
    with pytest.raises(RequestTooLarge):
        read_all([b"x" * OTHER_BYTES, b"x", b"y"])


def test_an_upload_may_be_longer():
    assert read_all([b"x" * OTHER_BYTES] * 4, UPLOAD) == []


@pytest.mark.parametrize("path", [UPLOAD, "/v1/x"])
def test_a_body_that_drips_in_is_given_up(path):
    with pytest.raises(RequestTooSlow):
        read_all([b"x"] * 1000, path, timeout_s=0.1, pause_s=0.02)


def test_waiting_for_the_client_to_leave_is_not_limited():
    async def story():
        messages = [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]

        async def app(scope, receive, send):
            await receive()
            await asyncio.sleep(0.05)
            assert (await receive())["type"] == "http.disconnect"

        async def receive():
            return messages.pop(0)

        await BodyLimits(app, 0.01, UPLOAD)({"type": "http", "path": "/"}, receive, None)

    asyncio.run(story())
