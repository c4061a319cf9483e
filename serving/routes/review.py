"""Feedback as a queue for reviewers."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.exceptions import RequestValidationError

from brain_core.contracts import ReviewItem, ReviewQueue, ReviewRequest, ReviewState
from brain_core.corrections import CorrectionStore
from brain_core.errors import DatabaseError, FeedbackChanged, FeedbackNotFound, PageUnknown, ScopeMissing
from brain_core.labels import TumourClass
from brain_core.reviews import Decision, QueuedFeedback, QueueFilter
from serving.deps import AdminCaller, PredictionId, ServicesDep
from serving.examples import REVIEW_ITEM, REVIEW_QUEUE, REVIEW_REQUEST
from serving.problems import openapi_responses
from serving.request_log import note

router = APIRouter(prefix="/v1/feedback", tags=["review"])

MAX_ITEMS = 100
"""On one page of the queue."""


def _shown(  # noqa: PLR0913 - one parameter of the request each
    review_state: Annotated[ReviewState | None, Query(description="Only feedback in this state.")] = None,
    agrees: Annotated[bool | None, Query(description="Only agreement, or only corrections.")] = None,
    corrected_class: TumourClass | None = None,
    predicted_class: TumourClass | None = None,
    model_version: Annotated[str | None, Query(description="Only what this model said.")] = None,
    is_used: Annotated[bool | None, Query(description="Only what a model was trained on, or was not.")] = None,
) -> QueueFilter:
    return QueueFilter(review_state, agrees, corrected_class, predicted_class, model_version, is_used)


@router.get(
    "",
    summary="List feedback for review",
    response_model=ReviewQueue,
    responses=REVIEW_QUEUE | openapi_responses(ScopeMissing, PageUnknown, RequestValidationError, DatabaseError),
)
def list_feedback(
    services: ServicesDep,
    _: AdminCaller,
    shown: Annotated[QueueFilter, Depends(_shown)],
    limit: Annotated[int, Query(ge=1, le=MAX_ITEMS, description="Most items in the answer.")] = 20,
    page: Annotated[str | None, Query(description="`next_page` of the answer before.")] = None,
) -> ReviewQueue:
    """Newest feedback first, with what similar images are taken for, and how many corrections wait for a retraining."""
    found = services.reviews.page(shown, limit, page)
    return ReviewQueue(
        items=[_contract(item) for item in found.items],
        total=found.total,
        next_page=found.next_page,
        waiting_images=CorrectionStore(services.engine).unclaimed_image_count(),
        retraining_above=services.settings.feedback.threshold,
    )


@router.put(
    "/{prediction_id}/review",
    summary="Accept or reject feedback",
    response_model=ReviewItem,
    openapi_extra={"requestBody": REVIEW_REQUEST},
    responses=REVIEW_ITEM
    | openapi_responses(ScopeMissing, FeedbackNotFound, FeedbackChanged, RequestValidationError, DatabaseError),
)
def review(
    request: Request, services: ServicesDep, caller: AdminCaller, prediction_id: PredictionId, decision: ReviewRequest
) -> ReviewItem:
    """Decide about the revision that was looked at; when the reader has changed the feedback since, 409."""
    made = Decision(decision.revision, decision.review_state, caller.name, decision.comment)
    reviewed = services.reviews.decide(prediction_id, made)
    note(request, **{"brain.feedback.review_state": reviewed.review_state})
    return _contract(reviewed)


def _contract(item: QueuedFeedback) -> ReviewItem:
    return ReviewItem.model_validate(asdict(item))
