"""What the prediction API takes and gives (pydantic models); `client.py` and `serving` share them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from brain_core.labels import CONSENT_VERSION, NOTICE, TumourClass

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


class Explanation(Contract):
    """Where the model saw evidence for the class that it predicted."""

    image_url: str = Field(description="Path of the overlay PNG; needs the access token.")
    peak: tuple[float, float] = Field(description="Maximum of the map, x and y as fractions of the image.")
    contours: list[list[tuple[float, float]]] = Field(
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
