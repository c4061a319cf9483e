import asyncio
import logging
from types import SimpleNamespace

import pytest
from starlette.requests import Request
from starlette.responses import Response

from serving.request_log import RequestLog, note


def run(app, path="/v1/model", scope_type="http"):
    scope = {"type": scope_type, "method": "GET", "path": path, "headers": [], "query_string": b"token=secret"}
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(RequestLog(app)(scope, None, send))
    return sent


def answering(status, template="/v1/model", **fields):
    async def app(scope, receive, send):
        scope["route"] = SimpleNamespace(path=template, name="read_model")
        note(Request(scope), **fields)
        await Response(status_code=status)(scope, receive, send)

    return app


@pytest.mark.parametrize(
    ("status", "level", "outcome"),
    [(200, logging.INFO, "success"), (404, logging.WARNING, "failure"), (503, logging.ERROR, "failure")],
)
def test_a_request_is_one_event(caplog, status, level, outcome):
    caplog.set_level(logging.DEBUG, "serving")
    run(answering(status))
    (record,) = caplog.records
    event = record.__dict__
    assert (record.levelno, event["event.outcome"], event["http.response.status_code"]) == (level, outcome, status)
    assert (event["event.action"], event["brain.http.route"]) == ("read_model", "/v1/model")
    assert event["event.duration"] > 0
    assert "secret" not in str(event)


def test_noted_fields_are_in_the_event(caplog):
    caplog.set_level(logging.DEBUG, "serving")
    run(answering(201, **{"event.action": "predict", "brain.prediction.id": "7"}))
    event = caplog.records[0].__dict__
    assert (event["event.action"], event["brain.prediction.id"]) == ("predict", "7")


def test_probes_are_quiet(caplog):
    caplog.set_level(logging.INFO, "serving")
    run(answering(503, template="/readyz"))
    assert caplog.records == []


def test_a_request_that_failed_is_logged_as_500_and_fails_on(caplog):
    async def broken(scope, receive, send):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(broken)
    assert caplog.records[0].__dict__["http.response.status_code"] == 500


def test_what_is_not_http_passes_by(caplog):
    caplog.set_level(logging.DEBUG, "serving")
    passed = []

    async def app(scope, receive, send):
        passed.append(scope["type"])

    run(app, scope_type="lifespan")
    assert (passed, caplog.records) == (["lifespan"], [])
