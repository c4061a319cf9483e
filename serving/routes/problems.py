"""The pages behind the `type` of problem documents."""

from dataclasses import asdict

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from brain_core.labels import NOTICE
from serving.problem_types import ALL_PROBLEM_TYPES
from serving.problems import openapi_not_found, openapi_responses

router = APIRouter(prefix="/problems", tags=["problems"])


@router.get(
    "/{slug}",
    summary="What a problem type means",
    responses=openapi_responses(RequestValidationError) | openapi_not_found("No problem has this name"),
)
async def explain_problem(slug: str) -> dict[str, str | int]:
    """Meaning of a problem type and what to do about it."""
    for kind in ALL_PROBLEM_TYPES:
        if kind.slug == slug:
            return {**asdict(kind), "notice": NOTICE}
    raise HTTPException(404)
