"""How good a trained model is on images of which it has seen no copy and no patient."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_assets.asset_store import ImageSet
from brain_assets.ml.calibration import unscaled
from brain_assets.ml.datasets import image_set, label_indices
from brain_assets.ml.export import calibrated_model
from brain_assets.ml.figures import Evaluation, MirrorFigures, PublishedFigures, SubsetFigures
from brain_assets.ml.image_facts import KnownImages, image_facts, published_testing
from brain_assets.ml.localisation import localisation_figures
from brain_assets.ml.metrics import NO_IMAGES, Labels, calibration_interval, evaluate, evaluate_subset
from brain_assets.ml.records import EvaluatedModel, TrainedModel
from brain_assets.ml.resampling import Resampling
from brain_assets.ml.tracking import recipe_of
from brain_assets.shards import ImageArray
from brain_core.storage import Bucket

BLOCK_IMAGES = 512
BATCH = 64


@dataclass(frozen=True)
class Answers:
    """What a model says about images.

    Attributes:
        probabilities: float32 (N, 4), calibrated.
        maps: float32 (N, h, w), the evidence for the predicted class; None from a network without a map.
    """

    probabilities: NDArray[np.float32]
    maps: NDArray[np.float32] | None

    @cached_property
    def predictions(self) -> Labels:
        """The most probable classes, int64 (N,)."""
        return np.asarray(self.probabilities.argmax(axis=-1), np.int64)

    def of(self, rows: NDArray[np.int64]) -> "Answers":
        """The answers at some rows."""
        return Answers(self.probabilities[rows], None if self.maps is None else self.maps[rows])


Predictor = Callable[[NDArray[np.uint8]], Answers]
"""Runs a model on uint8 (N, S, S, 1)."""


@dataclass(frozen=True)
class JudgedModel:
    """A model's answers on the test images, and what follows from them.

    Attributes:
        evaluation: the figures.
        test: the images.
        facts: what is known of them, in their order, see `image_facts.image_facts`.
        answers: what the model says about them.
    """

    evaluation: Evaluation
    test: ImageSet
    facts: pd.DataFrame
    answers: Answers

    @property
    def representatives(self) -> NDArray[np.int64]:
        """Rows of one image of each group."""
        return np.flatnonzero(self.facts["is_representative"])


def evaluate_model(
    model: TrainedModel, weights: bytes, test: ImageSet, known: KnownImages, bucket: Bucket
) -> tuple[EvaluatedModel, JudgedModel]:
    """Judge a trained model.

    Args:
        model: its record.
        weights: its weights.
        test: the test images.
        known: what is known of the images.
        bucket: of the images; from there come those of the published Testing images that are not among the test images.

    Returns:
        The record, and the answers from which it was made.

    Raises:
        TrainingError: the weights do not fit.
        StorageError: the bucket is away, or an image is gone.
        ValueError: there are no test images.
    """
    predict = keras_predictor(calibrated_model(weights, recipe_of(model)))
    judged = judge(predict, test, known, bucket, model.temperature)
    return EvaluatedModel(run_id=model.run_id, metrics=judged.evaluation), judged


def keras_predictor(model: Any) -> Predictor:
    """Runs a Keras model whose outputs are those of a bundle; the map may be missing."""

    def predict(images: NDArray[np.uint8]) -> Answers:
        outputs = model.predict(images, batch_size=BATCH, verbose=0)
        probabilities = np.asarray(outputs["probabilities"], np.float32)
        return Answers(probabilities, _winning_maps(outputs.get("activation_map"), probabilities))

    return predict


def judge(
    predict: Predictor, test: ImageSet, known: KnownImages, bucket: Bucket, temperature: float = 1.0
) -> JudgedModel:
    """Judge a model by one representative image of each group, by all images, mirrored, and on the published split.

    Raises:
        StorageError: the bucket is away, or an image is gone.
        ValueError: there are no test images.
    """
    facts = image_facts(known)
    answers, mirrored = answers_of(predict, test.images), answers_of(predict, test.images, mirror=True)
    of_test = facts.loc[list(test.keys)]
    judged = JudgedModel(_headline(test, of_test, answers, temperature), test, of_test, answers)
    further = {
        **_subsets(judged),
        "mirror": _mirror_figures(judged, mirrored),
        "localisation": _localisation(judged),
        "published_split": _published_figures(judged, published_testing(facts), predict, bucket),
        "feedback_test": _feedback_figures(predict, known.feedback),
    }
    return replace(judged, evaluation=judged.evaluation.model_copy(update=further))


def answers_of(predict: Predictor, images: ImageArray, mirror: bool = False) -> Answers:
    """The answers on any number of images, so many at a time that memory does not grow with them."""
    if len(images) == 0:
        raise ValueError(NO_IMAGES)
    blocks = (images[start : start + BLOCK_IMAGES] for start in range(0, len(images), BLOCK_IMAGES))
    parts = [predict(block[:, :, ::-1] if mirror else block) for block in blocks]
    maps = [part.maps for part in parts if part.maps is not None]
    return Answers(np.concatenate([part.probabilities for part in parts]), np.concatenate(maps) if maps else None)


def _winning_maps(maps: Any, probabilities: NDArray[np.float32]) -> NDArray[np.float32] | None:
    if maps is None:
        return None
    winners = probabilities.argmax(axis=-1)
    return np.asarray(maps[np.arange(len(maps)), :, :, winners], np.float32)


def _headline(test: ImageSet, facts: pd.DataFrame, answers: Answers, temperature: float) -> Evaluation:
    rows = np.flatnonzero(facts["is_representative"])
    components = facts["component"].to_numpy(np.int64)[rows]
    probabilities, labels = answers.probabilities[rows], test.labels[rows]
    before = calibration_interval(unscaled(probabilities, temperature), labels, Resampling(components))
    figures = evaluate(probabilities, labels, components)
    return figures.model_copy(update={"groups": int(facts["group"].nunique()), "ece_before_scaling": before})


def _subsets(judged: JudgedModel) -> dict[str, Any]:
    """The figures of all images, and of the representatives from each source and of each plane."""
    rows, facts = judged.representatives, judged.facts.reset_index(drop=True)
    by_source, by_plane = facts.loc[rows].groupby("source"), facts.loc[rows].groupby("plane")
    return {
        "all_images": _subset(judged, np.arange(len(facts))),
        "by_source": {str(name): _subset(judged, part.index.to_numpy()) for name, part in by_source},
        "by_plane": {str(name): _subset(judged, part.index.to_numpy()) for name, part in by_plane},
    }


def _subset(judged: JudgedModel, rows: NDArray[np.int64]) -> SubsetFigures:
    components = judged.facts["component"].to_numpy(np.int64)
    return evaluate_subset(judged.answers.predictions[rows], judged.test.labels[rows], components[rows])


def _mirror_figures(judged: JudgedModel, mirrored: Answers) -> MirrorFigures | None:
    resampling = Resampling(judged.facts["component"].to_numpy(np.int64))
    consistency = resampling.mean(mirrored.predictions == judged.answers.predictions)
    accuracy = resampling.mean(mirrored.predictions == judged.test.labels)
    if consistency is None or accuracy is None:
        return None
    return MirrorFigures(consistency=consistency, accuracy=accuracy)


def _localisation(judged: JudgedModel) -> dict[str, Any]:
    answers, test = judged.answers, judged.test
    is_right = answers.predictions == test.labels
    rows = judged.representatives[is_right[judged.representatives]]
    if answers.maps is None:
        return {}
    components = judged.facts["component"].to_numpy(np.int64)[rows]
    return dict(localisation_figures(answers.maps[rows], test.boxes[rows], test.labels[rows], components))


def _feedback_figures(predict: Predictor, feedback: ImageSet | None) -> SubsetFigures | None:
    if feedback is None:
        return None
    return evaluate_subset(answers_of(predict, feedback.images).predictions, feedback.labels, feedback.groups)


def _published_figures(
    judged: JudgedModel, testing: pd.DataFrame, predict: Predictor, bucket: Bucket
) -> PublishedFigures | None:
    if testing.empty:
        return None
    told = pd.Series(judged.answers.predictions, index=judged.facts.index).reindex(testing.index)
    others = testing[told.isna()].reset_index(names="key").assign(origin="source")
    if len(others):
        told[told.isna()] = answers_of(predict, image_set(others, bucket, bucket).images).predictions
    labels = label_indices(testing["label"])
    figures = evaluate_subset(told.to_numpy(np.int64), labels, testing["component"].to_numpy(np.int64))
    return PublishedFigures(**figures.model_dump(), trained_share=float(testing["is_trained"].mean()))
