"""Examples for the OpenAPI description, built from the contracts so that they cannot differ from them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from brain_core.contracts import (
    Consent,
    CreatedPrediction,
    Explanation,
    Feedback,
    FeedbackRequest,
    ModelCard,
    ModelList,
    ModelVersion,
    PromotionOrder,
    ReviewItem,
    ReviewQueue,
    ReviewRequest,
    SimilarImages,
    Validation,
)
from brain_core.labels import CLASSES, CONSENT_TEXT, CONSENT_VERSION, TumourClass

_ID = UUID("019a5a3e-7c1b-7d55-9a57-5be0a30f2a11")
_WHEN = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)

_CREATED = CreatedPrediction(
    id=_ID,
    created_at=_WHEN,
    predicted_class=TumourClass.MENINGIOMA,
    probabilities=dict(zip(TumourClass, (0.06, 0.91, 0.01, 0.02), strict=True)),
    confidence=0.91,
    is_uncertain=False,
    validation=Validation(is_valid=True, histogram_correlation=0.97, gate_score=0.93),
    explanation=Explanation(
        image_url=f"/v1/predictions/{_ID}/explanation.png",
        peak=(0.72, 0.31),
        contours=[[(0.66, 0.31), (0.72, 0.25), (0.78, 0.31), (0.72, 0.37), (0.66, 0.31)]],
    ),
    timings_ms={"decode": 0.9, "predict": 5.1, "describe": 1.1},
    model_version="3",
    access_token="kT2Jv0b1mYw3yC5hQ8zR4uE6xN7aL9sD0fG1pB2vW3c",  # noqa: S106 - an example
)
_FEEDBACK = Feedback(
    prediction_id=_ID, revision=1, agrees=False, corrected_class=TumourClass.GLIOMA, review_state="accepted"
)
_MODEL = ModelCard(
    version="3",
    classes=list(CLASSES),
    trained_on="public",
    data_version="9f2c41d0",
    created_at=_WHEN,
    metrics={"macro_f1": 0.93},
)
_CONSENT = Consent(version=CONSENT_VERSION, text=CONSENT_TEXT, valid_until=None, is_current=True)
_REVIEW_ITEM = ReviewItem(
    prediction_id=_ID,
    revision=1,
    created_at=_WHEN,
    agrees=False,
    corrected_class=TumourClass.GLIOMA,
    predicted_class=TumourClass.MENINGIOMA,
    confidence=0.91,
    is_uncertain=False,
    model_version="3",
    review_state="accepted",
    reviewer="reader-1",
    reviewed_at=_WHEN,
    review_comment=None,
    used_by_model_version=None,
    similar=SimilarImages(compared=10, agreeing=7),
)
_REVIEW_QUEUE = ReviewQueue(items=[_REVIEW_ITEM], total=1, next_page=None, waiting_images=1, retraining_above=50)
_PROMOTION = PromotionOrder(
    id=_ID,
    created_at=_WHEN,
    model_version="2",
    requested_by="reader-1",
    state="queued",
    attempts=0,
    message=None,
    finished_at=None,
)
_MODELS = ModelList(
    models=[
        ModelVersion(
            version="3",
            is_champion=True,
            created_at=_WHEN,
            architecture="lite0_cells",
            trained_on="public",
            is_trained_on_feedback=False,
            data_version="9f2c41d0",
            metrics={"macro_f1": 0.93},
            decision={"decision": {"is_promoted": True, "reason": "Every rule holds."}},
            fault=None,
        )
    ],
    champion="3",
    promoted_at=_WHEN,
    promoted_by="dagster run 019a5a3e",
    requests=[_PROMOTION],
)
_REVIEWS = {
    "accept": ReviewRequest(revision=1, review_state="accepted"),
    "reject": ReviewRequest(revision=1, review_state="rejected", comment="The slice shows no tumour."),
}
_VERDICTS = {
    "right": FeedbackRequest(agrees=True),
    "wrong": FeedbackRequest(agrees=False, corrected_class=TumourClass.GLIOMA),
}


def _answer(status: int, model: BaseModel, **options: Any) -> dict[int | str, dict[str, Any]]:
    return {status: {"content": {"application/json": {"example": model.model_dump(mode="json", **options)}}}}


CREATED = _answer(201, _CREATED)
PREDICTION = _answer(200, _CREATED, exclude={"access_token"})
FEEDBACK = _answer(200, _FEEDBACK)
MODEL = _answer(200, _MODEL)
FIGURES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"example": 'brain_predictions_total{class="glioma"} 42.0\n'}}}
}
CONSENT = _answer(200, _CONSENT)
EXPLANATION = _answer(200, _CREATED.explanation)
REVIEW_QUEUE = _answer(200, _REVIEW_QUEUE)
REVIEW_ITEM = _answer(200, _REVIEW_ITEM)
MODEL_LIST = _answer(200, _MODELS)
PROMOTION_ORDER = _answer(202, _PROMOTION)


def _request(examples: Mapping[str, BaseModel]) -> dict[str, Any]:
    shown = {name: {"value": example.model_dump(mode="json")} for name, example in examples.items()}
    return {"content": {"application/json": {"examples": shown}}}


FEEDBACK_REQUEST = _request(_VERDICTS)
REVIEW_REQUEST = _request(_REVIEWS)
