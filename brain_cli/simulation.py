"""A reader who uploads labelled images and corrects what the model says, for demonstrations and tests of the loop."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from brain_core.contracts import CreatedPrediction, Feedback
from brain_core.errors import ApiError
from brain_core.labels import CLASSES

REFUSED = "/not-a-brain-mri"
UNREADABLE = range(400, 500)
"""What the service says of a single image; everything else would happen to the next one too."""


class Api(Protocol):
    """What is needed of `brain_core.client.BrainClient`."""

    def predict(self, image: bytes, consent: bool) -> CreatedPrediction:
        """Upload an image."""

    def feedback(self, prediction_id: UUID | str, access_token: str, corrected_class: str | None = None) -> Feedback:
        """Say that a prediction was right, or which class would have been."""


@dataclass(frozen=True)
class LabelledImage:
    """An image of which the class is known.

    Attributes:
        name: for messages.
        label: one of `labels.CLASSES`.
        read: gives the bytes of the file.
    """

    name: str
    label: str
    read: Callable[[], bytes]


@dataclass
class Simulated:
    """What was done so far.

    Attributes:
        wanted: corrections that are to be given.
        wanted_wrong: how many of these name a false class.
        right: corrections that name the true class.
        wrong: corrections that name a false one.
        agreed: predictions that were confirmed.
        refused: images that the upload gate refused, or that are no images.
        by_class: corrections by the class that they name.
    """

    wanted: int
    wanted_wrong: int = 0
    right: int = 0
    wrong: int = 0
    agreed: int = 0
    refused: int = 0
    by_class: dict[str, int] = field(default_factory=dict)

    @property
    def corrections(self) -> int:
        """How many were given."""
        return self.right + self.wrong

    @property
    def is_done(self) -> bool:
        """Is every correction given?"""
        return self.corrections >= self.wanted


def give_feedback(
    api: Api,
    images: Iterable[LabelledImage],
    simulated: Simulated,
    rng: random.Random,
    on_progress: Callable[[Simulated], None] = lambda _: None,
) -> Simulated:
    """Upload image after image until all corrections are given or there is no further image.

    A wrong prediction is corrected, a right one confirmed, as an honest reader does; `wanted_wrong` corrections name
    a false class instead, for choice on images that were predicted rightly.

    Args:
        api: of the running platform.
        images: in the order in which to upload them.
        simulated: filled in step by step, so that it is right also when an error ends the work.
        rng: chooses the false classes.
        on_progress: told after every image.

    Raises:
        ApiError: the service is away, or answers with an error that is not about the image.
    """
    for image in images:
        if simulated.is_done:
            break
        prediction = _prediction(api, image, simulated)
        if prediction is not None:
            corrected = _verdict(prediction.predicted_class, image.label, simulated, rng)
            api.feedback(prediction.id, prediction.access_token, corrected)
            _count(corrected, image.label, simulated)
        on_progress(simulated)
    return simulated


def _prediction(api: Api, image: LabelledImage, simulated: Simulated) -> CreatedPrediction | None:
    try:
        return api.predict(image.read(), consent=True)
    except ApiError as exc:
        if exc.status not in UNREADABLE or exc.status in (401, 403, 429):
            raise
        simulated.refused += 1
        return None


def _verdict(predicted: str, label: str, simulated: Simulated, rng: random.Random) -> str | None:
    """The class to correct to; None to agree."""
    wrong_left = simulated.wanted_wrong - simulated.wrong
    right_left = simulated.wanted - simulated.wanted_wrong - simulated.right
    if predicted != label and right_left > 0:
        return label
    if wrong_left > 0:
        return rng.choice([name for name in CLASSES if name not in (label, predicted)])
    return None if predicted == label else label


def _count(corrected: str | None, label: str, simulated: Simulated) -> None:
    if corrected is None:
        simulated.agreed += 1
        return
    simulated.by_class[corrected] = simulated.by_class.get(corrected, 0) + 1
    if corrected == label:
        simulated.right += 1
    else:
        simulated.wrong += 1
