"""What the prediction API takes and gives (pydantic models); `client.py` and `serving` share them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema, model_validator

from brain_core.labels import CONSENT_VERSION, NOTICE, TumourClass

ReviewState = Literal["pending", "accepted", "rejected"]

_RIGHT_OR_CORRECTED: list[JsonValue] = [
    {"properties": {"agrees": {"const": True}, "corrected_class": {"type": "null"}}},
    {
        "properties": {"agrees": {"const": False}, "corrected_class": {"type": "string"}},
        "required": ["corrected_class"],
    },
]
"""What `FeedbackRequest` checks, for its description."""


class Contract(BaseModel):
    """Base of all; unknown fields in a request are refused."""

    model_config = ConfigDict(extra="forbid")


class Validation(Contract):
    """What the upload gate found."""

    is_valid: bool
    histogram_correlation: float = Field(description="Best correlation with a stored training histogram, [-1, 1].")
    gate_score: float = Field(description="Likeness to the nearest training image, [-1, 1]; decides.")
    rejection_reason: str | None = None


class Consent(Contract):
    """A text that the owner of an image agrees to."""

    version: str = Field(description="What an upload names as `consent_version`.")
    text: str
    valid_until: datetime | None = Field(description="From then on an upload may no longer name it; null: no end.")
    is_current: bool = Field(description="Is it the one that readers are shown now?")
    notice: str = NOTICE


Point = Annotated[
    tuple[float, float],
    # `prefixItems`, as a tuple is described without this, is not understood by every reader of OpenAPI.
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
]
"""X and y as fractions of the image."""


class Explanation(Contract):
    """Where the model saw evidence for the class that it predicted."""

    image_url: str = Field(description="Path of the overlay PNG; needs the access token.")
    peak: Point = Field(description="Maximum of the map, x and y as fractions of the image.")
    contours: list[list[Point]] = Field(
        description="Outlines of the map at half its maximum, x and y as fractions of the image."
    )


class Prediction(Contract):
    """An accepted upload and what the model says about it."""

    id: UUID
    created_at: datetime
    predicted_class: TumourClass
    probabilities: dict[TumourClass, float]
    confidence: float = Field(ge=0, le=1, description="Probability of the predicted class.")
    is_uncertain: bool = Field(description="The confidence is below the model's own threshold.")
    validation: Validation
    explanation: Explanation
    timings_ms: dict[str, float] = Field(description="Milliseconds spent in each stage.")
    model_version: str
    notice: str = NOTICE


class CreatedPrediction(Prediction):
    """The answer to an upload; only here the access token is shown."""

    access_token: str = Field(description="Lets its holder see, correct and erase this prediction.")


class FeedbackRequest(Contract):
    """A reader's answer to "was this right?"."""

    model_config = ConfigDict(json_schema_extra={"oneOf": _RIGHT_OR_CORRECTED})

    agrees: bool = Field(strict=True)
    corrected_class: TumourClass | None = Field(None, description="Required when `agrees` is false.")

    @model_validator(mode="after")
    def _correction_is_complete(self) -> "FeedbackRequest":
        if self.agrees and self.corrected_class is not None:
            raise ValueError("corrected_class is only for a prediction that was wrong")
        if not self.agrees and self.corrected_class is None:
            raise ValueError("corrected_class is required when agrees is false")
        return self


class Feedback(Contract):
    """Stored feedback."""

    prediction_id: UUID
    revision: int = Field(ge=1, description="Rises with every replacement.")
    agrees: bool
    corrected_class: TumourClass | None
    review_state: str
    notice: str = NOTICE


class SimilarImages(Contract):
    """What the most similar images are taken for, by embeddings of the same model version."""

    compared: int = Field(ge=0, description="How many there were; the same image sent again does not count.")
    agreeing: int = Field(ge=0, description="How many have the class that the feedback says.")


class ReviewItem(Contract):
    """One reader's verdict in the queue, with what it is about and what became of it."""

    prediction_id: UUID
    revision: int = Field(ge=1)
    created_at: datetime
    agrees: bool
    corrected_class: TumourClass | None
    predicted_class: TumourClass
    confidence: float
    is_uncertain: bool
    model_version: str
    review_state: ReviewState
    reviewer: str | None
    reviewed_at: datetime | None
    review_comment: str | None
    used_by_model_version: str | None = Field(description="The model that was trained on it; null: none yet.")
    similar: SimilarImages


class ReviewQueue(Contract):
    """A part of the queue, newest feedback first."""

    items: list[ReviewItem]
    total: int = Field(description="Feedback that fits the filters, on all pages.")
    next_page: str | None = Field(description="Send it as `page` to get the next part; null: this is the last.")
    waiting_images: int = Field(description="Corrected images that wait for a retraining.")
    retraining_above: int = Field(description="A retraining starts when strictly more wait.")
    notice: str = NOTICE


class ReviewRequest(Contract):
    """A reviewer's decision."""

    revision: int = Field(ge=1, description="Of the feedback that was looked at; another one gives 409.")
    review_state: Literal["accepted", "rejected"]
    comment: str | None = Field(None, max_length=1000)


class ModelVersion(Contract):
    """One model in the bucket."""

    version: str
    is_champion: bool
    created_at: datetime | None
    architecture: str | None
    trained_on: str | None = Field(description="Source of the training images: sample, public or own.")
    is_trained_on_feedback: bool | None
    data_version: str | None
    metrics: dict[str, Any] | None
    decision: dict[str, Any] | None = Field(description="The promotion decision with its rules and figures.")
    fault: str | None = Field(description="Why the model cannot be read; null where it can.")


class PromotionOrder(Contract):
    """A request to make a version the champion, carried out by the pipeline."""

    id: UUID
    created_at: datetime
    model_version: str
    requested_by: str
    state: Literal["queued", "done", "refused"]
    attempts: int
    message: str | None = Field(description="What came of it, or why it still waits.")
    finished_at: datetime | None
    notice: str = NOTICE


class ModelList(Contract):
    """The models in the bucket, the newest first, and the newest requests for promotion."""

    models: list[ModelVersion]
    champion: str | None = Field(description="The version that is published; null: none.")
    promoted_at: datetime | None
    promoted_by: str | None
    former: list[str] = Field(
        default_factory=list, description="The champions before, the last one first: the way back."
    )
    requests: list[PromotionOrder]
    notice: str = NOTICE


class ModelCard(Contract):
    """The champion that answers now."""

    version: str
    classes: list[str]
    trained_on: str = Field(description="Source of the training images: sample, public or own.")
    data_version: str
    created_at: datetime
    metrics: dict[str, Any]
    consent_version: str = CONSENT_VERSION
    notice: str = NOTICE


class Problem(BaseModel):
    """An error as RFC 9457 (`application/problem+json`)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Identifies the kind of problem; docs/problems.md explains each.")
    title: str
    status: int
    detail: str
    instance: str
    notice: str = NOTICE
