from dataclasses import asdict

import httpx
import pytest

from brain_core.labels import NOTICE
from serving.problem_types import ALL_PROBLEM_TYPES


def test_the_type_of_every_problem_can_be_read(api_url):
    for kind in ALL_PROBLEM_TYPES:
        assert httpx.get(f"{api_url}{kind.uri}").json() == {**asdict(kind), "notice": NOTICE}


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("PATCH", "/v1/model", 405), ("GET", "/problems/x", 404)]
)
def test_other_http_errors_are_problem_documents_too(api_url, method, path, status):
    response = httpx.request(method, f"{api_url}{path}")
    assert (response.status_code, response.json()["type"]) == (status, "about:blank")
    assert response.headers["content-type"] == "application/problem+json"


def test_a_wrong_method_is_told_all_that_the_path_can_do(api_url):
    response = httpx.patch(f"{api_url}/v1/predictions/0190a5a0-7c1b-7d55-9a57-5be0a30f2a11")
    assert (response.status_code, response.headers["allow"]) == (405, "DELETE, GET")


@pytest.mark.parametrize("body", [b"\xff\xfe", b"{", b"[]", b"null", b'{"agrees": 1e999}'])
def test_a_body_that_is_no_json_is_an_invalid_request(api_url, body):
    path = f"{api_url}/v1/predictions/0190a5a0-7c1b-7d55-9a57-5be0a30f2a11/feedback"
    response = httpx.put(path, content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["type"]) == (422, "/problems/invalid-request")
