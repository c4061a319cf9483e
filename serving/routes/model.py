"""The model that answers now."""

from fastapi import APIRouter, Depends

from brain_core.contracts import ModelCard
from brain_core.errors import ModelUnavailable
from serving.deps import ServicesDep, require_scope
from serving.examples import MODEL
from serving.problems import openapi_responses

router = APIRouter(prefix="/v1/model", tags=["model"])


@router.get(
    "",
    summary="See which model answers",
    dependencies=[Depends(require_scope("read"))],
    response_model=ModelCard,
    responses=MODEL | openapi_responses(ModelUnavailable),
)
def read_model(services: ServicesDep) -> ModelCard:
    """Version, training data, metrics and classes of the champion, and the version of the consent text."""
    manifest = services.champion.bundle.manifest
    return ModelCard(
        version=manifest.version,
        classes=list(manifest.classes),
        trained_on=manifest.provenance.source,
        data_version=manifest.data_version,
        created_at=manifest.created_at,
        metrics=manifest.metrics,
    )
