"""What became of an upload, as plain data that the page keeps for its browser session."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from brain_core.client import BrainClient
from brain_core.contracts import CreatedPrediction, Feedback
from brain_core.errors import ApiError
from brain_core.labels import CONSENT_VERSION
from dashboard.wording import problem_slug, sentence

_PASSING = frozenset({0, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Answer:
    """The model answered.

    Attributes:
        picture: JPEG of the image as it is stored; None when it could not be fetched.
        overlay: PNG of the heat map over the image; None when it could not be fetched.
        feedback: what the reader said about it so far.
    """

    prediction: CreatedPrediction
    picture: bytes | None
    overlay: bytes | None
    feedback: Feedback | None = None


@dataclass(frozen=True)
class Refusal:
    """The upload gate refused the image, which is kept until it is erased."""

    reason: str
    prediction_id: UUID
    access_token: str
    picture: bytes | None


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


def ask(client: BrainClient, data: bytes) -> Outcome:
    """Send one upload, for which the reader has agreed to the consent text, to the API."""
    try:
        prediction = client.predict(data, consent=True, consent_version=CONSENT_VERSION)
    except ApiError as error:
        return _without_answer(client, error)
    return with_pictures(client, Answer(prediction, None, None))


def with_pictures(client: BrainClient, answer: Answer) -> Answer:
    """The answer with the pictures that can be had now; it stands without them."""
    prediction = answer.prediction
    return Answer(
        prediction,
        answer.picture or _fetched(client.image, prediction.id, prediction.access_token),
        answer.overlay or _fetched(client.explanation_png, prediction.id, prediction.access_token),
        answer.feedback,
    )


def _fetched(fetch: Callable[[UUID, str], bytes], prediction_id: UUID, access_token: str) -> bytes | None:
    try:
        return fetch(prediction_id, access_token)
    except ApiError:
        return None


def _without_answer(client: BrainClient, error: ApiError) -> Outcome:
    problem = error.problem
    if problem_slug(error) != "not-a-brain-mri":
        return Failure(sentence(error), is_passing=error.status in _PASSING)
    prediction_id, access_token = UUID(problem["id"]), str(problem["access_token"])
    return Refusal(
        str(problem["detail"]), prediction_id, access_token, _fetched(client.image, prediction_id, access_token)
    )
