"""Is the process alive, and can it answer?"""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from brain_core.database import translated_errors
from brain_core.errors import BrainError, ObjectNotFound
from brain_core.labels import NOTICE
from brain_core.storage import Bucket
from serving.deps import ServicesDep
from serving.examples import FIGURES
from serving.problem_types import NOT_READY
from serving.problems import openapi_responses, problem_response

router = APIRouter(tags=["probes"])


@router.get("/livez", summary="Is the process alive?")
async def livez() -> dict[str, str]:
    """Always 200 while the process answers at all."""
    return {"status": "alive", "notice": NOTICE}


@router.get("/readyz", summary="Can predictions be made?", responses=openapi_responses(NOT_READY))
def readyz(request: Request, services: ServicesDep) -> Any:
    """200 when database and model are there; else 503 naming in `missing` what is not.

    The bucket may be away: uploads wait in the outbox, and `has_bucket` is false. `is_newest_model` is false when a
    newer model was published that could not be loaded; `warning` says why.
    """
    checks: dict[str, Callable[[], object]] = {
        "database": lambda: _ask(services.engine),
        "model": lambda: services.champion.bundle,
    }
    missing = [name for name, check in checks.items() if not _succeeds(check)]
    if missing:
        return problem_response(request, NOT_READY, f"Missing: {', '.join(missing)}.", missing=missing)
    return {
        "status": "ready",
        "model_version": services.champion.bundle.manifest.version,
        "is_newest_model": services.champion.failure is None,
        "warning": services.champion.warning,
        "has_bucket": _succeeds(lambda: _ask_bucket(services.images)),
        "notice": NOTICE,
    }


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=PlainTextResponse,
    responses=FIGURES | openapi_responses(),
)
def metrics(services: ServicesDep) -> Response:
    """Requests, stage latencies, predictions by class, refusals by reason, model, queue, outbox and connections."""
    return Response(services.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _succeeds(check: Callable[[], object]) -> bool:
    try:
        check()
    except (BrainError, ProgrammingError):  # the latter: the tables were not made yet
        return False
    return True


def _ask(engine: Engine) -> None:
    with translated_errors(), engine.connect() as connection:
        connection.execute(text("SELECT 1 FROM prediction LIMIT 1"))


def _ask_bucket(bucket: Bucket) -> None:
    try:
        bucket.read("InferenceLogs/.probe")
    except ObjectNotFound:
        return
