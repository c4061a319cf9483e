"""Uploads, their predictions, images, explanations and erasure."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool

from brain_core.contracts import CreatedPrediction, Explanation, Prediction, Validation
from brain_core.errors import (
    BrainError,
    ConsentMissing,
    ConsentOutdated,
    DatabaseError,
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
    ImageTooLarge,
    InvalidImage,
    ModelUnavailable,
    NotABrainMri,
    PredictionErased,
    PredictionNotFound,
    StorageError,
    UnsupportedImageType,
)
from brain_core.gate import GateDecision
from brain_core.labels import NOTICE
from brain_core.prediction_records import Outcome, StoredPrediction
from serving.deps import (
    AccessDep,
    IdempotencyKeyDep,
    OwnPrediction,
    PredictionId,
    ServicesDep,
    received,
    require_scope,
    services_of,
)
from serving.examples import CREATED, EXPLANATION, PREDICTION
from serving.predicting import Created
from serving.problem_types import problem_type
from serving.problems import openapi_responses, problem_response
from serving.request_log import note
from serving.uploads import MULTIPART_SCHEMA

router = APIRouter(prefix="/v1/predictions", tags=["predictions"])

_PICTURE_HEADERS = {"Cache-Control": "private, no-store", "Brain-Notice": NOTICE}
_OWNED: tuple[type[Exception], ...] = (PredictionNotFound, PredictionErased, RequestValidationError, DatabaseError)
_ERASED_LATER: dict[int | str, dict[str, Any]] = {
    202: {"description": "Erased; the bucket is away, so the image itself goes as soon as it is back."}
}
_REPLAYED = {"Idempotent-Replayed": "true"}

logger = logging.getLogger(__name__)


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
        ConsentOutdated,
        InvalidImage,
        ImageTooLarge,
        UnsupportedImageType,
        NotABrainMri,
        IdempotencyKeyInvalid,
        IdempotencyKeyReused,
        PredictionErased,
        RequestValidationError,
        ModelUnavailable,
        DatabaseError,
    ),
)
async def predict(request: Request, key: IdempotencyKeyDep) -> Response:
    """Judge one JPEG or PNG and keep it with its prediction; answered only when image and row are safe.

    The answer's `access_token` lets its holder see, correct and erase it. An image that is not a brain MRI slice is
    refused with 422 and kept too; that answer's `access_token` erases it. An upload that is sent again with the same
    `Idempotency-Key` gets the same answer, with the header `Idempotent-Replayed: true`.
    """
    services = services_of(request)
    with services.intake.place() as place:
        upload = await received(request, services, place)
        created = await run_in_threadpool(services.predictor.create, upload, key)
    prediction = created.prediction
    note(request, **_log_fields(prediction))
    if prediction.outcome is None:
        return _refusal(request, created)
    answer = CreatedPrediction(**_contract(prediction, prediction.outcome), access_token=created.access_token)
    headers = {**_headers(created), "Location": f"{router.prefix}/{prediction.id}"}
    # Made here once: FastAPI would check the model and make JSON of it a second time.
    return Response(answer.model_dump_json(), HTTPStatus.CREATED, headers, "application/json")


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
    return Response(services.shelf.get(prediction), media_type="image/jpeg", headers=_PICTURE_HEADERS)


@router.get(
    "/{prediction_id}/explanation.png",
    summary="See where the model looked",
    dependencies=[Depends(require_scope("read"))],
    response_class=Response,
    responses=_picture("image/png") | openapi_responses(*_OWNED, NotABrainMri, StorageError, ModelUnavailable),
)
def read_explanation(services: ServicesDep, prediction: OwnPrediction) -> Response:
    """The image under the evidence for the predicted class, as the model that answered saw it."""
    return Response(services.predictor.overlay(prediction), media_type="image/png", headers=_PICTURE_HEADERS)


@router.get(
    "/{prediction_id}/contours",
    summary="Get the outlines of where the model looked",
    dependencies=[Depends(require_scope("read"))],
    response_model=Explanation,
    responses=EXPLANATION | openapi_responses(*_OWNED, NotABrainMri),
)
def read_contours(prediction: OwnPrediction) -> Explanation:
    """The evidence's maximum and its outlines, as fractions of the image, to draw them over it."""
    if prediction.outcome is None:
        raise NotABrainMri(prediction.decision.reason or "The upload was refused.")
    return _explanation(prediction, prediction.outcome)


@router.delete(
    "/{prediction_id}",
    status_code=204,
    summary="Erase an upload",
    dependencies=[Depends(require_scope("predict"))],
    responses=openapi_responses(*_OWNED) | _ERASED_LATER,
)
def erase(services: ServicesDep, prediction_id: PredictionId, access: AccessDep) -> Response:
    """Erase image, result, feedback and every copy for ever, also of a refused upload; an empty row stays.

    204 when all is gone. 202 when the bucket is away: the upload counts as erased from now on, and its image is deleted
    as soon as the bucket is back.
    """
    keys = services.store.erase(prediction_id, access)
    try:
        services.store.drop_images(prediction_id, keys, services.images.delete)
    except BrainError as exc:
        # The keys are noted: the sweep deletes what is left.
        logger.warning("Erased; the image is deleted later.", extra={"error.message": str(exc)})
        return Response(status_code=HTTPStatus.ACCEPTED)
    return Response(status_code=HTTPStatus.NO_CONTENT)


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
    response.headers.update(_headers(created))
    return response


def _headers(created: Created) -> dict[str, str]:
    timing = {"Server-Timing": created.stopwatch.header()} if created.stopwatch.timings_ms else {}
    return timing | (_REPLAYED if created.is_repeat else {})


def _contract(prediction: StoredPrediction, outcome: Outcome) -> dict[str, Any]:
    return {
        "id": prediction.id,
        "created_at": prediction.created_at,
        "predicted_class": outcome.predicted_class,
        "probabilities": outcome.probabilities,
        "confidence": outcome.confidence,
        "is_uncertain": outcome.is_uncertain,
        "validation": _validation(prediction.decision),
        "explanation": _explanation(prediction, outcome),
        "timings_ms": prediction.timings_ms,
        "model_version": prediction.model_version,
    }


def _explanation(prediction: StoredPrediction, outcome: Outcome) -> Explanation:
    return Explanation(image_url=f"{router.prefix}/{prediction.id}/explanation.png", **outcome.explanation)


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
