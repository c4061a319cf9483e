import asyncio

import pytest
from starlette.requests import Request
from starlette.responses import Response

from serving.headers import ResponseHeaders, note_stage


def answer(path="/v1/model", request_id=None, **answer_headers):
    async def app(scope, receive, send):
        note_stage(Request(scope), "read", 1.5)
        await Response(headers=answer_headers)(scope, receive, send)

    sent = []

    async def send(message):
        sent.append(message)

    headers = [] if request_id is None else [(b"x-request-id", request_id)]
    scope = {"type": "http", "method": "GET", "path": path, "headers": headers}
    asyncio.run(ResponseHeaders(app)(scope, None, send))
    return {name.decode(): value.decode() for name, value in sent[0]["headers"]}, scope["brain.log_fields"]


def test_a_sane_request_id_is_kept_and_is_in_the_log():
    headers, fields = answer(request_id=b"web-1.2_A")
    assert headers["x-request-id"] == fields["http.request.id"] == "web-1.2_A"


@pytest.mark.parametrize("sent", [None, b"", b"a b", b"x" * 65, b"<script>", b"a\xff", b"a\nb"])
def test_any_other_is_replaced(sent):
    headers, fields = answer(request_id=sent)
    assert len(headers["x-request-id"]) == 36
    assert headers["x-request-id"] == fields["http.request.id"]


def test_answers_are_not_to_be_framed_guessed_at_or_kept():
    headers, _ = answer()
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"


def test_what_a_route_says_about_keeping_its_answer_stays():
    assert answer(**{"Cache-Control": "private"})[0]["cache-control"] == "private"


def test_the_page_about_the_api_may_load_scripts_of_this_server_and_of_no_other():
    policy = answer("/docs")[0]["content-security-policy"]
    assert "script-src 'self' 'unsafe-inline';" in policy
    assert "http" not in policy


def test_the_time_is_told_by_stage_and_in_total():
    stages = answer(**{"Server-Timing": "decode;dur=2"})[0]["server-timing"].split(", ")
    assert stages[:2] == ["read;dur=1.500", "decode;dur=2"]
    assert float(stages[2].removeprefix("total;dur=")) >= 0
