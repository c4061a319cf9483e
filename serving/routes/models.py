"""The models in the bucket, and requests to make one of them the champion."""

from dataclasses import asdict

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError

from brain_core.bundle import Manifest
from brain_core.contracts import ModelList, ModelVersion, PromotionOrder
from brain_core.errors import DatabaseError, ModelVersionUnknown, ScopeMissing, StorageError
from brain_core.promotion_requests import PromotionRequest
from brain_core.published_models import PublishedModel, champion_pointer, published_models, require_version
from serving.deps import AdminCaller, ServicesDep
from serving.examples import MODEL_LIST, PROMOTION_ORDER
from serving.problems import openapi_responses
from serving.request_log import note

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get(
    "",
    summary="List the models",
    response_model=ModelList,
    responses=MODEL_LIST | openapi_responses(ScopeMissing, StorageError, DatabaseError),
)
def list_models(services: ServicesDep, _: AdminCaller) -> ModelList:
    """Every model in the bucket with its figures and the decision about it, and the newest requests for promotion."""
    pointer = champion_pointer(services.models)
    champion = pointer.version if pointer else None
    return ModelList(
        models=[_version(model, champion) for model in published_models(services.models)],
        champion=champion,
        promoted_at=pointer.promoted_at if pointer else None,
        promoted_by=pointer.promoted_by if pointer else None,
        former=list(pointer.history) if pointer else [],
        requests=[_order(one) for one in services.promotions.newest()],
    )


@router.post(
    "/{version}/promote",
    status_code=202,
    summary="Make a model the champion",
    response_model=PromotionOrder,
    responses=PROMOTION_ORDER
    | openapi_responses(ScopeMissing, ModelVersionUnknown, RequestValidationError, StorageError, DatabaseError),
)
def promote(request: Request, services: ServicesDep, caller: AdminCaller, version: str) -> PromotionOrder:
    """Queue the promotion; the pipeline carries it out within seconds, and serving follows.

    An older version is the way back. `GET /v1/models` shows what came of it; asked twice while it waits, it is one.
    """
    require_version(services.models, version)
    note(request, **{"brain.model.version": version})
    return _order(services.promotions.add(version, caller.name))


def _order(request: PromotionRequest) -> PromotionOrder:
    return PromotionOrder.model_validate(asdict(request))


def _version(model: PublishedModel, champion: str | None) -> ModelVersion:
    return ModelVersion(
        version=model.version,
        is_champion=model.version == champion,
        decision=model.decision,
        fault=model.fault,
        **_figures(model.manifest),
    )


def _figures(manifest: Manifest | None) -> dict[str, object]:
    if manifest is None:
        names = ("created_at", "architecture", "trained_on", "is_trained_on_feedback", "data_version", "metrics")
        return dict.fromkeys(names)
    return {
        "created_at": manifest.created_at,
        "architecture": manifest.architecture,
        "trained_on": manifest.provenance.source,
        "is_trained_on_feedback": manifest.provenance.feedback,
        "data_version": manifest.data_version,
        "metrics": manifest.metrics,
    }
