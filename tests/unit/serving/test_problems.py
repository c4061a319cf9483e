import json
from pathlib import Path

import pytest
from starlette.requests import Request

import brain_core.errors
from brain_core.errors import BrainError, DatabaseError, ObjectNotFound, PredictionNotFound, UndecodableImage
from serving.problems import ALL_PROBLEM_TYPES, NOT_READY, _on_error, openapi_responses, problem_response, problem_type

DOCUMENT = Path(__file__).parents[3] / "docs" / "problems.md"


@pytest.fixture
def request_():
    return Request({"type": "http", "method": "GET", "path": "/v1/model", "headers": [], "query_string": b""})


def test_the_document_lists_every_problem_type_as_it_is():
    rows = [line.strip("| ").split(" | ") for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(
        [f"`{kind.uri}`", str(kind.status), kind.title, kind.meaning, kind.action] for kind in ALL_PROBLEM_TYPES
    )


def test_no_two_problem_types_share_a_name():
    assert len({kind.slug for kind in ALL_PROBLEM_TYPES}) == len(ALL_PROBLEM_TYPES)


@pytest.mark.parametrize(
    ("error", "slug"),
    [
        (UndecodableImage, "invalid-image"),
        (ObjectNotFound, "storage-unavailable"),
        (DatabaseError, "database-unavailable"),
        (ZeroDivisionError, "internal-error"),
    ],
)
def test_an_error_has_the_type_of_its_nearest_listed_base(error, slug):
    assert problem_type(error).slug == slug


def test_every_error_of_ours_has_a_type():
    errors = [e for e in vars(brain_core.errors).values() if isinstance(e, type) and issubclass(e, BrainError)]
    assert all(problem_type(error).status >= 400 for error in errors)


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
