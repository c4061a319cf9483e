"""What a reader says about a prediction."""

import logging
from functools import partial

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError

from brain_core.contracts import Feedback, FeedbackRequest
from brain_core.errors import (
    BrainError,
    DatabaseError,
    NotABrainMri,
    PredictionErased,
    PredictionNotFound,
    StorageError,
    UnknownClass,
)
from brain_core.prediction_records import StoredFeedback
from serving.deps import AccessToken, PredictionId, Services, ServicesDep, require_scope
from serving.examples import FEEDBACK, FEEDBACK_REQUEST
from serving.problems import openapi_responses
from serving.request_log import note
from serving.shelf import copy_image

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/v1/predictions", tags=["feedback"])
"""Feedback belongs to a prediction."""


@router.put(
    "/{prediction_id}/feedback",
    summary="Say whether a prediction was right",
    dependencies=[Depends(require_scope("feedback"))],
    response_model=Feedback,
    openapi_extra={"requestBody": FEEDBACK_REQUEST},
    responses=FEEDBACK
    | openapi_responses(
        PredictionNotFound,
        PredictionErased,
        RequestValidationError,
        UnknownClass,
        NotABrainMri,
        DatabaseError,
        StorageError,
    ),
)
def feedback(
    request: Request,
    services: ServicesDep,
    prediction_id: PredictionId,
    access_token: AccessToken,
    verdict: FeedbackRequest,
) -> Feedback:
    """Agree, or name the right class; a later answer replaces an earlier one."""
    copy = partial(copy_image, services.images)
    stored = services.store.set_feedback(prediction_id, access_token, verdict, copy)
    _drop_stale_image(services, stored)
    note(
        request,
        **{"brain.feedback.agrees": stored.agrees, "brain.feedback.corrected_class": stored.corrected_class},
    )
    return Feedback(**{name: getattr(stored, name) for name in Feedback.model_fields if name != "notice"})


def _drop_stale_image(services: Services, stored: StoredFeedback) -> None:
    if stored.stale_image_key is None:
        return
    try:
        services.store.drop_images(stored.prediction_id, [stored.stale_image_key], services.images.delete)
    except BrainError as exc:
        # The feedback is safe; the key is noted, so that the sweep deletes the copy.
        logger.warning("A former copy of an image is left in the bucket.", extra={"error.message": str(exc)})
