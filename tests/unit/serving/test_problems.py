import json

import pytest
from starlette.requests import Request

from brain_core.errors import DatabaseError, PredictionNotFound
from serving.problem_types import NOT_READY
from serving.problems import _on_error, openapi_responses, problem_response


@pytest.fixture
def request_():
    return Request({"type": "http", "method": "GET", "path": "/v1/model", "headers": [], "query_string": b""})


def test_a_problem_carries_its_members_and_when_to_come_back(request_):
    response = problem_response(request_, NOT_READY, "Missing: database.", missing=["database"])
    body = json.loads(response.body)
    assert (body["status"], body["instance"], body["missing"]) == (503, "/v1/model", ["database"])
    assert response.headers["retry-after"] == "5"
    assert response.media_type == "application/problem+json"


def test_only_unavailability_says_when_to_come_back(request_):
    assert "retry-after" not in _on_error(request_, PredictionNotFound("There is none.")).headers


def test_the_users_own_fault_is_told_in_full(request_):
    response = _on_error(request_, PredictionNotFound("There is none."))
    assert json.loads(response.body)["detail"] == "There is none."


@pytest.mark.parametrize("error", [DatabaseError("at /secret/socket"), ZeroDivisionError("at /secret/socket")])
def test_the_inside_of_the_server_is_not_told(request_, error):
    assert b"secret" not in _on_error(request_, error).body
    assert "secret" in request_.scope["brain.log_fields"]["error.message"]


def test_types_with_one_status_are_described_together():
    responses = openapi_responses(PredictionNotFound, NOT_READY, DatabaseError)
    content = responses[503]["content"]["application/problem+json"]
    assert set(responses) == {404, 500, 503}
    assert set(content["examples"]) == {"not-ready", "database-unavailable"}
    assert responses[503]["description"] == "The server is not ready; The database is away"
