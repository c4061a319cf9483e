"""What became of an upload, as plain data that the page keeps for its browser session."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import UUID

from brain_core.client import BrainClient
from brain_core.contracts import CreatedPrediction, Feedback
from brain_core.errors import ApiError, ConsentRefused, ServiceUnavailable, ServiceUnreachable, TooManyRequests
from brain_core.labels import TumourClass
from dashboard.wording import problem_slug, sentence

_PASSING = frozenset({500, 502, 504})


@dataclass(frozen=True)
class Answer:
    """The model answered.

    Attributes:
        picture: JPEG of the image as it is stored; None when it was not or could not be fetched.
        overlay: PNG of the heat map over the image; None when it was not or could not be fetched.
        feedback: what the reader said about it so far.
        is_label_first: the reader said what it shows before the answer was shown.
    """

    prediction: CreatedPrediction
    picture: bytes | None = None
    overlay: bytes | None = None
    feedback: Feedback | None = None
    is_label_first: bool = False

    @property
    def label(self) -> TumourClass | None:
        """What the reader says the image shows; None before any feedback."""
        if self.feedback is None:
            return None
        return self.feedback.corrected_class or self.prediction.predicted_class


@dataclass(frozen=True)
class Refusal:
    """The upload gate refused the image, which is kept until it is erased."""

    reason: str
    prediction_id: UUID
    access_token: str
    picture: bytes | None = None


@dataclass(frozen=True)
class Failure:
    """There is no answer, and nothing was kept.

    Attributes:
        sentence: why, and what to do.
        is_passing: the same image may be taken later.
    """

    sentence: str
    is_passing: bool


Outcome = Answer | Refusal | Failure


def content_hash(data: bytes) -> str:
    """What an upload is known by: the same image asked twice is answered once."""
    return hashlib.sha256(data).hexdigest()


def ask(client: BrainClient, data: bytes, consent_version: str, idempotency_key: str | None = None) -> Outcome:
    """Send one upload, for which the reader has agreed to a version of the consent text, to the API.

    Raises:
        ConsentRefused: the text has changed since.
        ServiceUnreachable, ServiceUnavailable, TooManyRequests: no upload at all can be answered now.
    """
    try:
        return Answer(client.predict(data, True, consent_version, idempotency_key))
    except (ConsentRefused, ServiceUnreachable, ServiceUnavailable, TooManyRequests):
        raise
    except ApiError as error:
        return _without_answer(error)


def with_pictures(client: BrainClient, outcome: Answer | Refusal) -> Answer | Refusal:
    """The outcome with the pictures that can be had now; it stands without them."""
    if isinstance(outcome, Refusal):
        picture = outcome.picture or _fetched(client.image, outcome.prediction_id, outcome.access_token)
        return replace(outcome, picture=picture)
    known_by = outcome.prediction.id, outcome.prediction.access_token
    return replace(
        outcome,
        picture=outcome.picture or _fetched(client.image, *known_by),
        overlay=outcome.overlay or _fetched(client.explanation_png, *known_by),
    )


def _fetched(fetch: Callable[[UUID, str], bytes], prediction_id: UUID, access_token: str) -> bytes | None:
    try:
        return fetch(prediction_id, access_token)
    except ApiError:
        return None


def _without_answer(error: ApiError) -> Outcome:
    problem = error.problem
    if problem_slug(error) != "not-a-brain-mri":
        return Failure(sentence(error), is_passing=error.status in _PASSING)
    return Refusal(str(problem["detail"]), UUID(problem["id"]), str(problem["access_token"]))
