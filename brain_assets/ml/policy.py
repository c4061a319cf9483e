"""What a promotion is decided by: the limits as data, what is compared, and the decision.

Why each limit is as it is, and how often it lets a better or a worse model through: the page about the promotion policy
in `docs/decisions`. The rules themselves are in `promotion`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from brain_assets.ml.figures import Interval


class Floors(BaseModel):
    """What a model must reach where there is no champion to compare it with.

    Attributes:
        min_groups: with fewer test groups nothing is published.
        balanced_accuracy: at least; guessing gives 0.25.
        recall: of each class, at least.
        calibration_error: at most.
        latency_ms: at most; five times the budget, since there is nothing to tell a slow model from a busy machine by.
    """

    model_config = ConfigDict(frozen=True)

    min_groups: int = 20
    balanced_accuracy: float = 0.5
    recall: float = 0.25
    calibration_error: float = 0.2
    latency_ms: float = 90.0


class PromotionPolicy(BaseModel):
    """The limits, fixed before training.

    Attributes:
        min_groups: with fewer common test groups the champion stays.
        min_groups_of_class: the same for each class.
        min_feedback_groups: with fewer, held-out feedback is no test of its own.
        macro_f1_margin: the challenger's macro-F1 may be so much lower at most.
        macro_f1_bound: the one-sided lower bound of that difference may be so far below zero at most.
        recall_margin: no class's recall may be both significantly and by more than this lower.
        alpha: significance level of the one-sided tests and of the bound.
        max_calibration_error: bias-corrected expected calibration error in bins of equal mass.
        localisation_margin: the share of maps with their peak in the tumour may be so much lower in a class.
        min_boxes_of_class: with fewer rightly predicted tumours with a box the map is not compared in that class. At
            twenty, one tumour alone is exactly the margin.
        max_parity: largest difference between the probabilities of the exported graph and of Keras.
        latency_ms: of one image on one thread; a challenger within it is quick enough, however quick the champion is.
        latency_ratio: above that, it may take so many times as long as the champion on the same machine.
        floors: what decides without a champion.
    """

    model_config = ConfigDict(frozen=True)

    min_groups: int = 50
    min_groups_of_class: int = 5
    min_feedback_groups: int = 20
    macro_f1_margin: float = 0.01
    macro_f1_bound: float = 0.03
    recall_margin: float = 0.02
    alpha: float = 0.05
    max_calibration_error: float = 0.05
    localisation_margin: float = 0.05
    min_boxes_of_class: int = 20
    max_parity: float = 1e-4
    latency_ms: float = 18.0
    latency_ratio: float = 1.25
    floors: Floors = Floors()


@dataclass(frozen=True)
class JudgedImages:
    """What both models are judged on: one representative image a duplicate group.

    Attributes:
        labels: int64 (N,), indices into `labels.CLASSES`.
        components: int64 (N,), images of one patient (or of groups that hang together) have the same number.
        has_box: bool (N,), whether it is known where the tumour is.
    """

    labels: NDArray[np.int64]
    components: NDArray[np.int64]
    has_box: NDArray[np.bool_]

    @classmethod
    def without_boxes(cls, labels: NDArray[np.int64], components: NDArray[np.int64]) -> "JudgedImages":
        """Images of which it is not known where the tumour is."""
        return cls(labels, components, np.zeros(len(labels), np.bool_))

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Answers:
    """What a model said about the images.

    Attributes:
        predictions: int64 (N,), indices into `labels.CLASSES`.
        on_tumour: bool (N,), whether its map's maximum lies in the tumour's box.
    """

    predictions: NDArray[np.int64]
    on_tumour: NDArray[np.bool_]


@dataclass(frozen=True)
class Candidate:
    """A model as the policy sees it.

    Attributes:
        version: of the registered model.
        source: what it was trained on: sample, public or own.
        architecture: name of its network.
        test: its answers on the common test groups.
        calibration_error: on the same, see `metrics.expected_calibration_error`; NaN without images.
        parity: largest difference between the probabilities of its graph and of Keras; NaN where it is not known.
        latency_ms: median time of one image on one thread.
        feedback: its answers on the held-out feedback, where there is some.
    """

    version: str
    source: str
    architecture: str
    test: Answers
    calibration_error: float
    parity: float
    latency_ms: float
    feedback: Answers | None = None


@dataclass(frozen=True)
class Evidence:
    """What is compared, and how chance is drawn.

    Attributes:
        test: the common test groups.
        feedback: the held-out part of the accepted feedback; None where there is none.
        seed: of the permutations and of the drawn sets.
    """

    test: JudgedImages
    feedback: JudgedImages | None = None
    seed: int = 0


class Rule(BaseModel):
    """One rule of the decision: what it found, what the limit is, whether it holds."""

    name: str
    value: str
    limit: str
    passed: bool


class ComparedFigure(BaseModel):
    """One figure of both models; None where it is not defined.

    Attributes:
        name: of the figure.
        challenger: its value.
        champion: its value; None without a champion.
        difference: challenger minus champion with its 95 % interval, which resamples components.
    """

    name: str
    challenger: float | None
    champion: float | None = None
    difference: Interval | None = None


class Decision(BaseModel):
    """Promote or keep, with every rule and the figures behind them."""

    is_promoted: bool
    reason: str
    rules: list[Rule]
    figures: list[ComparedFigure] = []
