"""Errors as problem documents (RFC 9457): the one table of what can go wrong, and the handlers that use it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from brain_core.contracts import Problem
from brain_core.errors import (
    BrainError,
    ConsentMissing,
    DatabaseError,
    ForeignSite,
    ImageTooLarge,
    InvalidImage,
    KeyMissing,
    KeyRefused,
    ModelUnavailable,
    NotABrainMri,
    Overloaded,
    PredictionNotFound,
    RateLimited,
    RequestTooLarge,
    RequestTooSlow,
    ScopeMissing,
    StorageError,
    TryLater,
    UnknownClass,
    UnsupportedImageType,
)
from serving.request_log import note

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5


@dataclass(frozen=True)
class ProblemType:
    """One kind of problem: its name in the URI, HTTP status, title, what it means and what to do about it."""

    slug: str
    status: int
    title: str
    meaning: str
    action: str

    @property
    def uri(self) -> str:
        """Relative URI, answered by the API itself."""
        return f"/problems/{self.slug}"


PROBLEM_TYPES: dict[type[Exception], ProblemType] = {
    ConsentMissing: ProblemType(
        "consent-missing",
        400,
        "Consent is missing",
        "The upload did not carry consent to the current text, so nothing was stored.",
        "Send the form field `consent=true`; leave `consent_version` out or send the one that `/v1/model` names.",
    ),
    InvalidImage: ProblemType(
        "invalid-image",
        400,
        "The image cannot be decoded",
        "The file is empty, truncated or damaged, although it begins like an image.",
        "Export the slice again as JPEG or PNG and send that file.",
    ),
    KeyMissing: ProblemType(
        "key-missing",
        401,
        "An API key is needed",
        "This server answers only with an API key.",
        "Send the key in the header `X-API-Key`; the operator makes one with `brain keys create`.",
    ),
    KeyRefused: ProblemType(
        "key-refused",
        401,
        "The API key is not good",
        "The key in `X-API-Key` is unknown, revoked or expired.",
        "Check that it was copied whole, or ask the operator for a new one.",
    ),
    ScopeMissing: ProblemType(
        "scope-missing",
        403,
        "The API key is not for this",
        "The key is good, but lacks the scope that this request needs; `scope` in the answer names it.",
        "Use a key that has this scope, or ask the operator for one.",
    ),
    ForeignSite: ProblemType(
        "foreign-site",
        403,
        "The request comes from another site",
        "A server without API keys is for this machine only: it has no other name, and takes nothing from other sites.",
        "Call it as `127.0.0.1` or `localhost`; else use API keys, and for pages `BRAIN_SERVING__CORS_ORIGINS`.",
    ),
    PredictionNotFound: ProblemType(
        "prediction-not-found",
        404,
        "There is no such prediction",
        "No prediction has this id, it was erased, or the access token is not its own.",
        "Send the `access_token` of the answer to the upload as `Authorization: Bearer …`.",
    ),
    RequestTooSlow: ProblemType(
        "request-too-slow",
        408,
        "The request did not arrive in time",
        "The body of the request was not complete in the time that this server waits.",
        "Send it again over a better connection, or send a smaller image.",
    ),
    RequestTooLarge: ProblemType(
        "request-too-large",
        413,
        "The request is too large",
        "The body has more bytes than any request of this kind needs.",
        "Send only what `/docs` describes.",
    ),
    ImageTooLarge: ProblemType(
        "image-too-large",
        413,
        "The image is too large",
        "The upload has more bytes or more pixels than this server accepts.",
        "Send a smaller image; the model itself sees 128 x 128 pixels.",
    ),
    UnsupportedImageType: ProblemType(
        "unsupported-image-type",
        415,
        "Neither JPEG nor PNG",
        "The file's content is neither JPEG nor PNG, whatever its name says.",
        "Convert the image to JPEG or PNG.",
    ),
    NotABrainMri: ProblemType(
        "not-a-brain-mri",
        422,
        "Not a brain MRI slice",
        "The image does not look like a brain MRI slice, so the model was not asked.",
        "Send one slice, grey, without a frame around it. The refused image is kept; its access token erases it.",
    ),
    UnknownClass: ProblemType(
        "unknown-class",
        422,
        "Not a class that corrects the prediction",
        "The corrected class is not one of the known classes, or it is the class that was predicted.",
        "Send one of the classes that `/v1/model` lists, other than the predicted one.",
    ),
    RequestValidationError: ProblemType(
        "invalid-request",
        422,
        "The request is not valid",
        "A field of the request is missing, unknown or has a value that is not allowed.",
        "Read `errors` in the answer; `/docs` describes every request.",
    ),
    RateLimited: ProblemType(
        "rate-limited",
        429,
        "Too many requests",
        "The API key was used more often than it may be.",
        "Wait the seconds that `Retry-After` names, and send fewer requests a minute.",
    ),
    Exception: ProblemType(
        "internal-error",
        500,
        "The server failed",
        "Something went wrong that is not the request's fault; the log has the details.",
        "Try again; if it stays, tell the operator the time of the request.",
    ),
    DatabaseError: ProblemType(
        "database-unavailable",
        503,
        "The database is away",
        "PostgreSQL cannot be reached, so the request was not carried out.",
        "Try again after the seconds that `Retry-After` names.",
    ),
    ModelUnavailable: ProblemType(
        "model-unavailable",
        503,
        "There is no model yet",
        "No model has been published, so nothing can be predicted.",
        "Let the pipeline finish its first build, then try again; the server picks the model up by itself.",
    ),
    Overloaded: ProblemType(
        "overloaded",
        503,
        "The server is busy",
        "More uploads wait than this server can answer soon, so this one was not accepted.",
        "Try again after the seconds that `Retry-After` names.",
    ),
    StorageError: ProblemType(
        "storage-unavailable",
        503,
        "The image store is away",
        "The bucket cannot be read or written, so the request was not carried out.",
        "Try again after the seconds that `Retry-After` names.",
    ),
}
"""Error type to problem type; an error that is not listed is answered as its nearest listed base."""

NOT_READY = ProblemType(
    "not-ready",
    503,
    "The server is not ready",
    "A part that the server needs is away; `missing` in the answer names it.",
    "Wait, or start the missing part.",
)

ALL_PROBLEM_TYPES = (*PROBLEM_TYPES.values(), NOT_READY)


def problem_type(error: type[Exception]) -> ProblemType:
    """The problem type of an error type or of its nearest base in the table."""
    return next(PROBLEM_TYPES[base] for base in error.__mro__ if base in PROBLEM_TYPES)


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
    app.add_exception_handler(ScopeMissing, _on_scope_missing)
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
    return problem_response(request, kind, detail)


def _on_try_later(request: Request, error: Exception) -> Response:
    kind = problem_type(type(error))
    response = problem_response(request, kind, str(error))
    wait_s = error.retry_after_s if isinstance(error, TryLater) else RETRY_AFTER_S
    response.headers["Retry-After"] = str(max(1, math.ceil(wait_s)))
    return response


def _on_scope_missing(request: Request, error: Exception) -> Response:
    scope = error.scope if isinstance(error, ScopeMissing) else ""
    return problem_response(request, problem_type(ScopeMissing), str(error), scope=scope)


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
