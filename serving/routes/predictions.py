"""Uploads, their predictions, images, explanations and erasure."""

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool

from brain_core.contracts import CreatedPrediction, Explanation, Prediction, Validation
from brain_core.errors import (
    ConsentMissing,
    DatabaseError,
    ImageTooLarge,
    InvalidImage,
    ModelUnavailable,
    NotABrainMri,
    PredictionNotFound,
    StorageError,
    UnsupportedImageType,
)
from brain_core.gate import GateDecision
from brain_core.labels import NOTICE
from brain_core.predictions import Outcome, StoredPrediction
from serving.deps import AccessToken, OwnPrediction, PredictionId, ServicesDep, UploadDep, require_scope
from serving.examples import CREATED, PREDICTION
from serving.predicting import Created
from serving.problems import openapi_responses, problem_response, problem_type
from serving.request_log import note
from serving.uploads import MULTIPART_SCHEMA

router = APIRouter(prefix="/v1/predictions", tags=["predictions"])

_PICTURE_HEADERS = {"Cache-Control": "private, no-store", "Brain-Notice": NOTICE}
_OWNED: tuple[type[Exception], ...] = (PredictionNotFound, RequestValidationError, DatabaseError)


def _picture(media_type: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {media_type: {"schema": {"type": "string", "format": "binary"}}}}}


@router.post(
    "",
    status_code=201,
    summary="Classify one brain MRI slice",
    dependencies=[Depends(require_scope("predict"))],
    response_model=CreatedPrediction,
    openapi_extra={"requestBody": MULTIPART_SCHEMA},
    responses=CREATED
    | openapi_responses(
        ConsentMissing,
        InvalidImage,
        ImageTooLarge,
        UnsupportedImageType,
        NotABrainMri,
        RequestValidationError,
        ModelUnavailable,
        StorageError,
        DatabaseError,
    ),
)
async def predict(request: Request, response: Response, services: ServicesDep, upload: UploadDep) -> Any:
    """Judge one JPEG or PNG and keep it with its prediction.

    The answer's `access_token` lets its holder see, correct and erase it. An image that is not a brain MRI slice is
    refused with 422 and kept too; that answer's `access_token` erases it.
    """
    created = await run_in_threadpool(services.predictor.create, upload)
    prediction = created.prediction
    note(request, **_log_fields(prediction))
    if prediction.outcome is None:
        return _refusal(request, created)
    response.headers["Server-Timing"] = created.stopwatch.header()
    response.headers["Location"] = f"{router.prefix}/{prediction.id}"
    return CreatedPrediction(**_contract(prediction, prediction.outcome), access_token=created.access_token)


@router.get(
    "/{prediction_id}",
    summary="See a prediction again",
    dependencies=[Depends(require_scope("read"))],
    response_model=Prediction,
    responses=PREDICTION | openapi_responses(*_OWNED, NotABrainMri),
)
def read_prediction(prediction: OwnPrediction) -> Prediction:
    """The prediction as it was given; a refused upload has none and answers 422."""
    if prediction.outcome is None:
        raise NotABrainMri(prediction.decision.reason or "The upload was refused.")
    return Prediction(**_contract(prediction, prediction.outcome))


@router.get(
    "/{prediction_id}/image",
    summary="See the stored image",
    dependencies=[Depends(require_scope("read"))],
    response_class=Response,
    responses=_picture("image/jpeg") | openapi_responses(*_OWNED, StorageError),
)
def read_image(services: ServicesDep, prediction: OwnPrediction) -> Response:
    """The upload as it was kept: a JPEG without metadata."""
    return Response(services.images.read(prediction.image_key), media_type="image/jpeg", headers=_PICTURE_HEADERS)


@router.get(
    "/{prediction_id}/explanation.png",
    summary="See where the model looked",
    dependencies=[Depends(require_scope("read"))],
    response_class=Response,
    responses=_picture("image/png") | openapi_responses(*_OWNED, NotABrainMri, StorageError, ModelUnavailable),
)
def read_explanation(services: ServicesDep, prediction: OwnPrediction) -> Response:
    """The image under the current model's evidence for the predicted class."""
    return Response(services.predictor.overlay(prediction), media_type="image/png", headers=_PICTURE_HEADERS)


@router.delete(
    "/{prediction_id}",
    status_code=204,
    summary="Erase an upload",
    dependencies=[Depends(require_scope("predict"))],
    responses=openapi_responses(*_OWNED, StorageError),
)
def erase(services: ServicesDep, prediction_id: PredictionId, access_token: AccessToken) -> None:
    """Erase image, result and feedback for ever, also of a refused upload."""
    services.store.erase(prediction_id, access_token, services.images.delete)


def _refusal(request: Request, created: Created) -> Response:
    prediction = created.prediction
    response = problem_response(
        request,
        problem_type(NotABrainMri),
        prediction.decision.reason or "",
        id=str(prediction.id),
        access_token=created.access_token,
        validation=_validation(prediction.decision).model_dump(mode="json"),
    )
    response.headers["Server-Timing"] = created.stopwatch.header()
    return response


def _contract(prediction: StoredPrediction, outcome: Outcome) -> dict[str, Any]:
    return {
        "id": prediction.id,
        "created_at": prediction.created_at,
        "predicted_class": outcome.predicted_class,
        "probabilities": outcome.probabilities,
        "confidence": outcome.confidence,
        "is_uncertain": outcome.is_uncertain,
        "validation": _validation(prediction.decision),
        "explanation": Explanation(image_url=f"{router.prefix}/{prediction.id}/explanation.png", **outcome.explanation),
        "timings_ms": prediction.timings_ms,
        "model_version": prediction.model_version,
    }


def _validation(decision: GateDecision) -> Validation:
    return Validation(
        is_valid=decision.is_valid,
        histogram_correlation=decision.histogram_correlation,
        gate_score=decision.score,
        rejection_reason=decision.reason,
    )


def _log_fields(prediction: StoredPrediction) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "event.action": "refuse",
        "brain.prediction.id": str(prediction.id),
        "brain.prediction.is_valid": prediction.decision.is_valid,
        "brain.gate.score": prediction.decision.score,
        "brain.gate.reason": prediction.decision.reason,
        "brain.gate.histogram_correlation": prediction.decision.histogram_correlation,
        "brain.model.version": prediction.model_version,
    }
    if prediction.outcome is not None:
        fields["event.action"] = "predict"
        fields["brain.prediction.class"] = prediction.outcome.predicted_class
        fields["brain.prediction.confidence"] = prediction.outcome.confidence
    return fields
