from dataclasses import asdict

import httpx
import pytest

from brain_core.labels import NOTICE
from serving.problems import ALL_PROBLEM_TYPES


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
