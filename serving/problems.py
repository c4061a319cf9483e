"""Errors as problem documents (RFC 9457): how they are written, described and handled."""

import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from brain_core.contracts import Problem
from brain_core.errors import BrainError, ScopeMissing, TryLater, UnknownClass
from serving.problem_types import ProblemType, problem_type
from serving.request_log import note

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5


def problem_response(request: Request, kind: ProblemType, detail: str, **members: Any) -> JSONResponse:
    """A problem document with further `members`; a 503 carries `Retry-After`, a 401 says how to send a key."""
    note(request, **{"error.type": kind.slug})
    problem = Problem(
        type=kind.uri, title=kind.title, status=kind.status, detail=detail, instance=request.url.path, **members
    )
    headers = {
        HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": 'ApiKey header="X-API-Key"'},
        HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": str(RETRY_AFTER_S)},
    }.get(HTTPStatus(kind.status))
    return JSONResponse(problem.model_dump(mode="json"), kind.status, headers, MEDIA_TYPE)


def openapi_responses(*kinds: type[Exception] | ProblemType) -> dict[int | str, dict[str, Any]]:
    """The problem documents of a route, for its OpenAPI description; every route can also fail itself."""
    responses: dict[int | str, dict[str, Any]] = {}
    for kind in (item if isinstance(item, ProblemType) else problem_type(item) for item in (*kinds, Exception)):
        response = responses.setdefault(kind.status, {"description": "", "content": {MEDIA_TYPE: _empty_content()}})
        response["description"] = "; ".join(filter(None, (response["description"], kind.title)))
        response["content"][MEDIA_TYPE]["examples"][kind.slug] = {"value": _example(kind)}
    return responses


def openapi_not_found(description: str) -> dict[int | str, dict[str, Any]]:
    """The 404 of a path that is not there, for a route's OpenAPI description."""
    return {404: {"description": description, "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}}


def add_problem_handlers(app: FastAPI) -> None:
    """Make every error of the app a problem document."""
    app.add_exception_handler(BrainError, _on_error)
    app.add_exception_handler(TryLater, _on_try_later)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)


def failure_response(request: Request, error: Exception) -> Response:
    """The answer to an error that nobody foresaw; `failures.Failures` sends it."""
    return _on_error(request, error)


def _on_error(request: Request, error: Exception) -> Response:
    kind = problem_type(type(error))
    note(request, **{"error.message": str(error)})
    # Messages about our own parts name hosts and folders, which are the operator's business.
    detail = kind.meaning if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR else str(error)
    members = {"scope": error.scope} if isinstance(error, ScopeMissing) else {}
    return problem_response(request, kind, detail, **members)


def _on_try_later(request: Request, error: Exception) -> Response:
    kind = problem_type(type(error))
    response = problem_response(request, kind, str(error))
    wait_s = error.retry_after_s if isinstance(error, TryLater) else RETRY_AFTER_S
    response.headers["Retry-After"] = str(max(1, math.ceil(wait_s)))
    return response


def _on_invalid_request(request: Request, error: Exception) -> Response:
    details: Sequence[Any] = error.errors() if isinstance(error, RequestValidationError) else ()
    errors = [{"field": ".".join(map(str, each["loc"])), "message": each["msg"]} for each in details]
    is_class_unknown = any("corrected_class" in each["loc"] for each in details)
    kind = problem_type(UnknownClass if is_class_unknown else RequestValidationError)
    sentences = [f"{each['field']}: {each['message']}." for each in errors]
    return problem_response(request, kind, " ".join(sentences), errors=errors)


def _on_http_error(request: Request, error: Exception) -> Response:
    if isinstance(error.__cause__, BrainError):
        # FastAPI takes whatever happens while a body is read for a fault of the body.
        return _on_error(request, error.__cause__)
    if error.__cause__ is not None:
        fault = {"loc": ("body",), "msg": "The body cannot be read; send JSON in UTF-8", "type": "value_error"}
        return _on_invalid_request(request, RequestValidationError([fault]))
    status = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    methods = _methods(request) if status is HTTPStatus.METHOD_NOT_ALLOWED else []
    if methods:
        headers["Allow"] = ", ".join(methods)
    problem = Problem(
        type="about:blank",
        title=status.phrase,
        status=status,
        detail="`/docs` lists what the API answers.",
        instance=request.url.path,
    )
    return JSONResponse(problem.model_dump(mode="json"), status, headers, MEDIA_TYPE)


def _methods(request: Request) -> list[str]:
    """All methods of the path that was asked for; Starlette itself names those of the first route with this path."""
    described = request.app.openapi()["paths"].get(getattr(request.scope.get("route"), "path", ""), {})
    return sorted(method.upper() for method in described)


def _on_disconnect(request: Request, error: Exception) -> Response:
    # Nobody reads this answer; without it the log would show a failure of ours.
    note(request, **{"error.type": type(error).__name__})
    return Response(status_code=HTTPStatus.BAD_REQUEST)


def _empty_content() -> dict[str, Any]:
    return {"schema": Problem.model_json_schema(), "examples": {}}


def _example(kind: ProblemType) -> dict[str, Any]:
    example = Problem(
        type=kind.uri, title=kind.title, status=kind.status, detail=kind.meaning, instance="/v1/predictions"
    )
    return example.model_dump(mode="json")
