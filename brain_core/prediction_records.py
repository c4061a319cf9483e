"""What is kept of a prediction, as plain data."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Literal
from uuid import UUID

from brain_core.gate import GateDecision
from brain_core.idempotency import KeyedToken


class Admin(Enum):
    """Who may reach every prediction, by an API key."""

    ADMIN = "admin"


ADMIN: Literal[Admin.ADMIN] = Admin.ADMIN

Access = str | Literal[Admin.ADMIN]
"""The access token of a prediction's owner, or `ADMIN`."""


@dataclass(frozen=True)
class ImageFacts:
    """The stored image: its key in the bucket, SHA-256 of the uploaded bytes, size in pixels."""

    key: str
    sha256: str
    width: int
    height: int


@dataclass(frozen=True)
class Outcome:
    """What the model said about an accepted upload.

    Attributes:
        predicted_class: the most probable class.
        probabilities: class to probability; sums to 1.
        confidence: probability of the predicted class.
        is_uncertain: the confidence is below the model's own threshold.
        explanation: `peak` and `contours` as `brain_core.explain` gives them.
        embedding: the model's features of the image.
        activation_map: the evidence for the predicted class, see `explain.packed`; None in rows of earlier versions.
    """

    predicted_class: str
    probabilities: dict[str, float]
    confidence: float
    is_uncertain: bool
    explanation: dict[str, Any]
    embedding: list[float]
    activation_map: bytes | None = None


@dataclass(frozen=True)
class NewPrediction:
    """Everything to keep of one upload; `outcome` is None when the gate refused it.

    `timings_ms` has the milliseconds of each stage; of `access_token` only the hash is stored.

    Attributes:
        keyed: the client's idempotency key, where it sent one, with the access token that belongs to it.
        outbox_image: the image, where the bucket could not take it; None when it is in the bucket.
    """

    id: UUID
    access_token: str
    consent_version: str
    image: ImageFacts
    descriptors: dict[str, float]
    decision: GateDecision
    outcome: Outcome | None
    model_version: str
    timings_ms: dict[str, float]
    keyed: KeyedToken | None = None
    outbox_image: bytes | None = None


@dataclass(frozen=True)
class StoredPrediction:
    """One upload as it was kept; `outcome` is None when the gate refused it.

    `token_salt` is that of the access token, where it was derived from an idempotency key.
    """

    id: UUID
    created_at: datetime
    image_key: str
    decision: GateDecision
    outcome: Outcome | None
    model_version: str
    timings_ms: dict[str, float]
    token_salt: bytes | None = None


@dataclass(frozen=True)
class StoredFeedback:
    """Feedback as it was kept; `stale_image_key` is where the image was before, if it moved."""

    prediction_id: UUID
    revision: int
    agrees: bool
    corrected_class: str | None
    review_state: str
    stale_image_key: str | None
