"""The description of the API is completed here: what the edge adds to every route, and how to prove who one is."""

from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError

from brain_core.errors import (
    DatabaseError,
    ForeignSite,
    KeyMissing,
    KeyRefused,
    Overloaded,
    RateLimited,
    RequestTooLarge,
    RequestTooSlow,
    ScopeMissing,
)
from serving.problems import openapi_responses

API_KEY, ACCESS_TOKEN = "API key", "access token"

_METHODS = ("get", "put", "post", "delete", "patch")
_OPEN: tuple[type[Exception], ...] = (ForeignSite,)
_KEYED: tuple[type[Exception], ...] = (KeyMissing, KeyRefused, ScopeMissing, RateLimited, DatabaseError)
_WITH_BODY: tuple[type[Exception], ...] = (RequestTooSlow, RequestTooLarge, RequestValidationError)
_UPLOAD: tuple[type[Exception], ...] = (RequestTooSlow, Overloaded)
_HEADERS = {
    "X-Request-ID": ("Names this request in the logs; one that was sent is kept.", "string"),
    "Server-Timing": ("Milliseconds spent in each stage.", "string"),
}
_FOR_ADMINS = ("/v1/feedback", "/v1/models")
_RETRY_STATUSES = ("429", "503")


def complete_openapi(app: FastAPI) -> None:
    """Make `app.openapi()` give the completed description."""
    describe = app.openapi

    def completed() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = describe()
            for path, item in schema["paths"].items():
                for method in _METHODS:
                    if method in item:
                        _complete(item[method], path, method)
            app.openapi_schema = schema
        return app.openapi_schema

    # The way that FastAPI's documentation extends the description.
    app.openapi = completed  # type: ignore[method-assign]


def _complete(operation: dict[str, Any], path: str, method: str) -> None:
    is_keyed = any(API_KEY in option for option in operation.get("security", ()))
    kinds = _OPEN + (_KEYED if is_keyed else ())
    if "requestBody" in operation:
        is_upload = (method, path) == ("post", "/v1/predictions")
        kinds += _UPLOAD if is_upload else _WITH_BODY
    _add_responses(operation["responses"], openapi_responses(*kinds))
    _add_headers(operation["responses"])
    if is_keyed:
        operation["security"] = _ways_in(operation["security"], path)


def _add_responses(responses: dict[str, Any], more: dict[int | str, dict[str, Any]]) -> None:
    for status, response in more.items():
        known = responses.setdefault(str(status), response)
        if known is response:
            continue
        for media_type, content in response["content"].items():
            before = known.setdefault("content", {}).setdefault(media_type, content)
            before["examples"] = {**before.get("examples", {}), **content["examples"]}
            titles = [example["value"]["title"] for example in before["examples"].values()]
            known["description"] = "; ".join(titles)


def _add_headers(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        headers = response.setdefault("headers", {})
        for name, (description, kind) in _HEADERS.items():
            headers[name] = {"description": description, "schema": {"type": kind}}
        if status in _RETRY_STATUSES:
            headers["Retry-After"] = {"description": "Seconds to wait.", "schema": {"type": "integer"}}


def _ways_in(security: list[dict[str, list[str]]], path: str) -> list[dict[str, list[str]]]:
    """A key and a token are both asked for, but where an admin's key stands for the token or no key is needed."""
    if path.startswith(_FOR_ADMINS):
        return [{API_KEY: []}]
    if not any(ACCESS_TOKEN in option for option in security):
        return [{API_KEY: []}, {}]
    return [{API_KEY: [], ACCESS_TOKEN: []}, {ACCESS_TOKEN: []}, {API_KEY: []}]
