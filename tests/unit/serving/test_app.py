import asyncio
import re

import httpx
import pytest

from brain_core.contracts import CreatedPrediction
from brain_core.errors import SettingsError
from brain_core.settings import Settings
from serving.app import create_app
from serving.problem_types import ALL_PROBLEM_TYPES

METHODS = {"get", "put", "post", "delete"}


@pytest.fixture
def operations():
    settings = Settings(_env_file=None, database={"url": "postgresql://nobody@127.0.0.1/nothing"})
    schema = create_app(settings).openapi()
    return {
        f"{method} {path}": operation
        for path, item in schema["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def test_every_route_is_described(operations):
    assert len(operations) >= 10
    for name, operation in operations.items():
        assert operation["summary"], name
        assert operation["description"], name


def test_every_answer_of_ours_has_an_example(operations):
    created = operations["post /v1/predictions"]["responses"]["201"]["content"]["application/json"]["example"]
    CreatedPrediction.model_validate(created)
    for name, operation in operations.items():
        if name.endswith(("predictions", "{prediction_id}", "feedback", "model")) and not name.startswith("delete"):
            assert any("example" in c for r in operation["responses"].values() for c in r["content"].values()), name


def test_every_problem_type_is_in_the_description_of_some_route(operations):
    described = {
        slug
        for operation in operations.values()
        for response in operation["responses"].values()
        for slug in response.get("content", {}).get("application/problem+json", {}).get("examples", {})
    }
    assert described == {kind.slug for kind in ALL_PROBLEM_TYPES}


def test_the_upload_form_and_the_token_are_described(operations):
    upload = operations["post /v1/predictions"]
    form = upload["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["required"]) == {"file", "consent", "consent_version"}
    assert upload["security"] == [{"API key": []}, {}]
    for name, operation in operations.items():
        offered = {scheme for way in operation.get("security", ()) for scheme in way}
        assert ("access token" in offered) == ("/predictions/{prediction_id}" in name), name
        assert ("API key" in offered) == (" /v1" in name and "/v1/consent" not in name), name
        if name.startswith(("get /v1/feedback", "put /v1/feedback", "get /v1/models", "post /v1/models")):
            assert operation["security"] == [{"API key": []}], name


def test_no_answer_is_fastapis_own_error(operations):
    for operation in operations.values():
        assert "HTTPValidationError" not in str(operation["responses"])


def test_an_app_without_a_database_is_not_made():
    with pytest.raises(SettingsError, match="BRAIN_DATABASE__URL"):
        create_app(Settings(_env_file=None))


def test_the_page_about_the_api_brings_its_own_scripts():
    async def loaded():
        app = create_app(Settings(_env_file=None, database={"url": "postgresql://nobody@127.0.0.1/nothing"}))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.0.0.1", follow_redirects=True
        ) as client:
            page = (await client.get("/docs")).text
            addresses = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
            return page, {address: await client.get(address) for address in addresses}

    page, files = asyncio.run(loaded())
    assert "https://" not in page
    assert {"/docs/files/swagger-ui-bundle.js", "/docs/files/swagger-ui.css"} <= files.keys()
    assert {answer.status_code for answer in files.values()} == {200}
    assert b"SwaggerUIBundle" in files["/docs/files/swagger-ui-bundle.js"].content
