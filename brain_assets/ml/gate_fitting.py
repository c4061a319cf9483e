"""Fits the upload gate of a bundle: from the training and validation images, and from pictures that are made.

Training images and what is made teach the trees; images that the judging trees did not see choose the threshold.
Known CT among the images is no example of what passes but of what is refused. See docs/decisions/0008-upload-gate.md.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_assets.ml.gate_heads import SLIGHT, STRONG, STRONG_WITH_SKULL, drawn_heads, stripped_heads, vary_heads
from brain_assets.ml.gate_negatives import make_negatives
from brain_assets.ml.gate_trees import TreeConfig, fit_trees
from brain_assets.ml.statistics import stacked_histograms
from brain_assets.ml.tomograms import is_tomogram
from brain_core.cores import usable_cores
from brain_core.descriptors import detail, thumbnail
from brain_core.errors import TrainingError
from brain_core.gate import Comparison, Gate, KnownImages, Trees
from brain_core.imaging import DETAIL_SIZE, resize
from brain_core.structure import structure

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]

WORK_SIZE = 2 * DETAIL_SIZE
NO_COMPONENT = -1


@dataclass(frozen=True)
class GateConfig:
    """How a gate is fitted.

    Attributes:
        known_images: at most so many training images go into the bundle to compare uploads with.
        training_images: at most so many teach the trees, one a duplicate group.
        negatives_per_image: pictures that are no MRI slices, for each training image.
        fewest_negatives: at least so many.
        most_negatives: at most so many.
        tomogram_copies: of each training image that is a known CT, varied.
        other_heads: drawn heads and slices of the template, each at most so many and a quarter of the training images.
        strong_copies: of each training image, as other scanners might show it; one more as the same scanner might.
        folds: parts in which the training images are judged by trees that were not taught with them.
        refused: share of the duplicate groups that the threshold refuses.
        refused_strongly: the same of validation images that are varied as other scanners might.
        trees: how the trees are grown.
        seed: of all else that is random.
    """

    known_images: int = 600
    training_images: int = 2500
    negatives_per_image: int = 4
    fewest_negatives: int = 800
    most_negatives: int = 7000
    tomogram_copies: int = 30
    other_heads: int = 300
    strong_copies: int = 2
    folds: int = 3
    refused: float = 0.003
    refused_strongly: float = 0.08
    trees: TreeConfig = field(default_factory=TreeConfig)
    seed: int = 0


@dataclass(frozen=True)
class _Lessons:
    """What the trees learn from.

    Attributes:
        positives: float32 (M, F); the first N are the training images as they are.
        components: int64 (M,) of each; `NO_COMPONENT` for heads that are of no training image.
        images: N.
        negatives: float32 (K, F).
    """

    positives: Floats
    components: NDArray[np.int64]
    images: int
    negatives: Floats


def build_gate(statistics: pd.DataFrame, splits: pd.DataFrame, config: GateConfig | None = None) -> Gate:
    """Fit a gate; the same for the same images and configuration.

    Args:
        statistics: `key`, `histogram` and `detail`, see `statistics.image_statistics`.
        splits: `key`, `part`, `is_representative`, and `component` or `group`.
        config: how.

    Raises:
        TrainingError: there are no training images.
    """
    config = config or GateConfig()
    table = statistics[["key", "histogram", "detail"]].merge(splits, on="key").sort_values("key")
    is_ct = is_tomogram(table)
    tomograms, table = _representatives(table[is_ct], "train", config), table[~is_ct]
    train = _representatives(table, "train", config)
    if train.empty:
        raise TrainingError("The upload gate needs training images; the split has none. Check dataset_splits.")
    fines, components = _details(train), _components(train)
    chosen = np.sort(np.random.default_rng(config.seed).permutation(len(train))[: config.known_images])
    known = _known(train.iloc[chosen], fines[chosen])
    describe = _Describer(known, components[chosen])
    lessons = _lessons(_enlarged(fines), components, describe, config)
    lessons = replace(lessons, negatives=_with_tomograms(lessons.negatives, tomograms, describe, config))
    trees, unseen_scores = _fitted(lessons, config)
    validation = _enlarged(_details(_representatives(table, "validation", config)))
    limit = _limit(unseen_scores, validation, _Judge(trees, describe), config)
    return Gate(known, trees, float(1 / (1 + np.exp(-limit))))


def _representatives(table: pd.DataFrame, part: str, config: GateConfig) -> pd.DataFrame:
    found = table[(table["part"] == part) & table["is_representative"]]
    return found.sample(min(len(found), config.training_images), random_state=config.seed)


def _details(table: pd.DataFrame) -> Images:
    return np.frombuffer(b"".join(table["detail"]), np.uint8).reshape(-1, DETAIL_SIZE, DETAIL_SIZE)


def _components(table: pd.DataFrame) -> NDArray[np.int64]:
    return table["component" if "component" in table else "group"].to_numpy(np.int64)


def _enlarged(fines: Images) -> Images:
    """Images that can be varied and are then reduced again: uint8 (N, S, S, 1)."""
    large = np.empty((len(fines), WORK_SIZE, WORK_SIZE, 1), np.uint8)
    for image, fine in zip(large, fines, strict=True):
        image[..., 0] = resize(fine, WORK_SIZE)
    return large


def _known(table: pd.DataFrame, fines: Images) -> KnownImages:
    built = structure(fines)
    return KnownImages(
        histograms=stacked_histograms(table).astype(np.float16),
        thumbnails=np.stack([thumbnail(fine, fine) for fine in fines]),
        bodies=built.bodies,
        gradients=built.gradients.astype(np.float16),
    )


class _Describer:
    """Makes features of pictures; a picture is not compared with images of its own component (patient or copies)."""

    def __init__(self, known: KnownImages, components: NDArray[np.int64]) -> None:
        self._comparison = Comparison(known)
        self._components = components

    def __call__(self, images: Images, components: NDArray[np.int64] | None = None) -> Floats:
        hidden = None if components is None else components[:, np.newaxis] == self._components
        return self._comparison.features(np.stack([detail(image[..., 0]) for image in images]), hidden)


def _lessons(heads: Images, components: NDArray[np.int64], describe: _Describer, config: GateConfig) -> _Lessons:
    rng, size = np.random.default_rng([config.seed, 1]), heads.shape[1]
    variations = [SLIGHT, *[STRONG] * config.strong_copies]
    own = [describe(heads, components), *(describe(vary_heads(heads, how, rng), components) for how in variations)]
    others = min(config.other_heads, 1 + len(heads) // 4)
    foreign = [describe(drawn_heads(others, size)), describe(stripped_heads(others, size, config.seed))]
    wanted = len(heads) * config.negatives_per_image
    count = int(np.clip(wanted, config.fewest_negatives, config.most_negatives))
    return _Lessons(
        positives=np.concatenate([*own, *foreign]),
        components=np.concatenate([np.tile(components, len(own)), np.full(2 * others, NO_COMPONENT)]),
        images=len(heads),
        negatives=describe(make_negatives(heads, count, config.seed)[0]),
    )


def _with_tomograms(negatives: Floats, tomograms: pd.DataFrame, describe: _Describer, config: GateConfig) -> Floats:
    """The negatives, and known CT as other scanners and programs might show it."""
    images, rng = _enlarged(_details(tomograms)), np.random.default_rng([config.seed, 4])
    if not len(images):
        return negatives
    copies = [describe(vary_heads(images, STRONG_WITH_SKULL, rng)) for _ in range(config.tomogram_copies)]
    return np.concatenate([negatives, describe(images), *copies])


@dataclass(frozen=True)
class _Judge:
    """Log-odds of pictures, float32 (N,)."""

    trees: Trees
    describe: _Describer

    def __call__(self, images: Images) -> Floats:
        return self.trees.log_odds(self.describe(images)) if len(images) else np.empty(0, np.float32)


def _limit(unseen_scores: Floats, validation: Images, judge: _Judge, config: GateConfig) -> float:
    """Log-odds below which there are no more groups, and varied validation images, than the configuration allows.

    The validation images alone are too few to tell how low a slice may score: the training images join them, each
    judged by trees that saw nothing of its patient.
    """
    limits = [np.quantile(np.concatenate([judge(validation), unseen_scores]), config.refused)]
    if len(validation):
        varied = vary_heads(validation, STRONG, np.random.default_rng([config.seed, 2]))
        limits.append(np.quantile(judge(varied), config.refused_strongly))
    # What is rather a brain MRI slice than not passes, however alike the images of a small set are.
    return float(min(0.0, *limits))


def _fitted(lessons: _Lessons, config: GateConfig) -> tuple[Trees, Floats]:
    """The trees, and the training images' log-odds from others that were taught without their components: (N,)."""
    distinct, codes = np.unique(lessons.components, return_inverse=True)
    fold = np.random.default_rng([config.seed, 3]).permutation(len(distinct))[codes] % config.folds

    def fit(taught: NDArray[np.bool_]) -> Trees:
        return fit_trees(lessons.positives[taught], lessons.negatives, config.trees)

    # scikit-learn lets go of the interpreter's lock while it grows a tree.
    with ThreadPoolExecutor(usable_cores()) as executor:
        trees, *others = executor.map(fit, [fold >= 0, *(fold != number for number in range(config.folds))])
    scores = np.empty(lessons.images, np.float32)
    for number, judge in enumerate(others):
        asked = np.flatnonzero(fold[: lessons.images] == number)
        scores[asked] = judge.log_odds(lessons.positives[asked])
    return trees, scores
