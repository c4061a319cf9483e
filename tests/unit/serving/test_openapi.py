import pytest

from brain_core.settings import Settings
from serving.app import create_app

KEYED = {"key-missing", "key-refused", "scope-missing", "rate-limited"}


@pytest.fixture(scope="module")
def schema():
    settings = Settings(_env_file=None, database={"url": "postgresql://nobody@127.0.0.1/nothing"})
    return create_app(settings).openapi()


@pytest.fixture(scope="module")
def operations(schema):
    return {f"{m} {path}": operation for path, item in schema["paths"].items() for m, operation in item.items()}


def problems(operation):
    return {
        slug
        for response in operation["responses"].values()
        for slug in response.get("content", {}).get("application/problem+json", {}).get("examples", {})
    }


def test_every_keyed_route_names_what_can_be_wrong_with_a_key(operations):
    keyed = {name for name, operation in operations.items() if problems(operation) >= KEYED}
    assert keyed == {name for name in operations if " /v1/" in name and "/v1/consent" not in name}


def test_every_route_names_what_every_route_can_answer(operations):
    assert [
        name for name, operation in operations.items() if not problems(operation) >= {"internal-error", "foreign-site"}
    ] == []


def test_routes_with_a_body_name_its_limits(operations):
    assert problems(operations["post /v1/predictions"]) >= {"request-too-slow", "overloaded", "image-too-large"}
    feedback = problems(operations["put /v1/predictions/{prediction_id}/feedback"])
    assert feedback >= {"request-too-slow", "request-too-large", "invalid-request"}


def test_every_problem_example_has_the_status_under_which_it_stands(operations):
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            for example in response.get("content", {}).get("application/problem+json", {}).get("examples", {}).values():
                assert str(example["value"]["status"]) == status, name


def test_every_answer_describes_its_headers(operations):
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            assert "X-Request-ID" in response["headers"], name
            assert ("Retry-After" in response["headers"]) == (status in {"429", "503"}), name


def test_both_ways_to_prove_oneself_are_described(schema):
    schemes = schema["components"]["securitySchemes"]
    assert (schemes["API key"]["in"], schemes["API key"]["name"]) == ("header", "X-API-Key")
    assert (schemes["access token"]["type"], schemes["access token"]["scheme"]) == ("http", "bearer")


def test_the_description_is_made_once(schema):
    settings = Settings(_env_file=None, database={"url": "postgresql://nobody@127.0.0.1/nothing"})
    app = create_app(settings)
    assert app.openapi() is app.openapi()
    assert app.openapi() == schema
