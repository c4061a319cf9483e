import asyncio
import json
import logging

import pytest
from starlette.responses import Response

from serving.failures import Failures


def run(app):
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/v1/model", "headers": [], "query_string": b""}
    asyncio.run(Failures(app)(scope, None, send))
    return sent


async def broken(scope, receive, send):
    raise ZeroDivisionError("at /secret/socket")


async def broken_after_the_start(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ZeroDivisionError


def test_an_unforeseen_error_is_a_problem_document_without_the_inside(caplog):
    start, body = run(broken)
    problem = json.loads(body["body"])
    assert (start["status"], problem["type"]) == (500, "/problems/internal-error")
    assert b"secret" not in body["body"]
    (record,) = caplog.records
    assert (record.levelno, record.exc_info[0]) == (logging.ERROR, ZeroDivisionError)


def test_an_answer_that_had_begun_is_cut_off():
    with pytest.raises(ZeroDivisionError):
        run(broken_after_the_start)


def test_all_others_pass():
    assert run(Response("fine"))[0]["status"] == 200
