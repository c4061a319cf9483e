"""Asking the model: as many images at a time as there are cores for it, and the gate those that wait together."""

from collections.abc import Sequence
from typing import NamedTuple

from brain_core.batches import Batches
from brain_core.bundle import InferenceBundle, Judgement
from brain_core.imaging import DecodedImage
from serving.champion import ChampionWatch

MAX_TOGETHER = 8
"""Most images that are judged together: with more, the first of them would wait too long for the last."""


class Judged(NamedTuple):
    """What was said of an image, and the model that said it."""

    bundle: InferenceBundle
    judgement: Judgement


class Judge:
    """Judges images that many threads bring; those that come while the cores are taken are judged together.

    More runs of the model at once than cores would only slow each other down, and the gate needs a third of the time
    for an image when it has several (docs/decisions/0015-images-are-judged-together.md).

    Args:
        champion: the model that answers.
        at_once: runs of the model at a time.
    """

    def __init__(self, champion: ChampionWatch, at_once: int = 1) -> None:
        self._champion = champion
        self._batches = Batches(self._judge_all, at_once, MAX_TOGETHER)

    @property
    def bundle(self) -> InferenceBundle:
        """The model that answers now.

        Raises:
            ModelUnavailable: there is none yet.
        """
        return self._champion.bundle

    def judge(self, image: DecodedImage) -> Judged:
        """Judge one image.

        Raises:
            ModelUnavailable: there is no model yet.
        """
        return self._batches.add(image)

    def _judge_all(self, images: Sequence[DecodedImage]) -> list[Judged]:
        bundle = self.bundle
        return [Judged(bundle, judgement) for judgement in bundle.judge_all(images)]
