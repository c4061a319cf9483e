import asyncio
import json

import pytest
from starlette.responses import Response

from brain_core.setting_groups import ServingSettings
from serving.foreign_sites import ForeignSites, is_this_machine


def status(method="GET", host="127.0.0.1:8000", origin=None, **settings):
    sent = []

    async def send(message):
        sent.append(message)

    headers = [(b"host", host.encode())] + ([] if origin is None else [(b"origin", origin.encode())])
    scope = {"type": "http", "method": method, "path": "/v1/model", "headers": headers, "query_string": b""}
    asyncio.run(ForeignSites(Response("fine"), ServingSettings(**settings))(scope, None, send))
    if sent[0]["status"] != 200:
        assert json.loads(sent[1]["body"])["type"] == "/problems/foreign-site"
    return sent[0]["status"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:8000", "[::1]:8000", "127.8.9.1"])
def test_this_machines_names_are_answered(host):
    assert is_this_machine(host)
    assert status(host=host) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "10.0.0.1", "[", "0x7f.1"]
)
def test_other_names_are_not(host):
    assert not is_this_machine(host)
    assert status(host=host) == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:8501", "http://127.0.0.1:9999"])
def test_pages_of_other_sites_may_not_send_anything(origin):
    assert status("POST", origin=origin) == 403
    assert status("DELETE", origin=origin) == 403


def test_own_pages_and_listed_sites_may():
    assert status("POST", origin="http://127.0.0.1:8000") == 200
    assert status("POST", origin="https://a.example", cors_origins=("https://a.example",)) == 200


def test_where_keys_are_needed_names_and_sites_do_not_matter():
    assert status("POST", "api.example", "https://evil.example", require_keys=True) == 200
