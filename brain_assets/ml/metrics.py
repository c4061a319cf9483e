"""How good is a model: figures with intervals that respect the groups, and pictures of them."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from brain_core.labels import CLASSES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESAMPLES = 1000
CALIBRATION_BINS = 15

Counts = NDArray[np.float64]
"""Confusion matrices, float64 (..., 4, 4): rows are true classes, columns are predicted ones."""


class Interval(BaseModel):
    """A figure with the bounds of its 95 % interval."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float


class ClassFigures(BaseModel):
    """One class's figures; None where they are not defined (no such image, or never predicted)."""

    model_config = ConfigDict(frozen=True)

    precision: Interval | None
    recall: Interval | None
    images: int


class Evaluation(BaseModel):
    """How good a model is on a set of images.

    Attributes:
        images: number of images.
        groups: number of groups; the intervals resample these.
        accuracy: share of right answers.
        macro_f1: mean of the classes' F1.
        balanced_accuracy: mean of the classes' recalls.
        ece: expected calibration error of the confidence, see `calibration_error`.
        by_class: figures of each class.
        confusion: images by true class (row) and predicted class (column), in the order of `labels.CLASSES`.
    """

    model_config = ConfigDict(frozen=True)

    images: int
    groups: int
    accuracy: Interval
    macro_f1: Interval
    balanced_accuracy: Interval
    ece: Interval
    by_class: dict[str, ClassFigures]
    confusion: list[list[int]]

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return self.model_dump(mode="json")

    def headline(self) -> dict[str, float]:
        """The four figures without their intervals."""
        return {name: getattr(self, name).value for name in ("accuracy", "macro_f1", "balanced_accuracy", "ece")}


def evaluate(
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.int64], groups: NDArray[np.int64], seed: int = 0
) -> Evaluation:
    """Judge a model; each interval is a percentile bootstrap that resamples whole groups (Efron and Tibshirani 1993).

    Args:
        probabilities: (N, 4), each row sums to 1.
        labels: int64 (N,), indices into `labels.CLASSES`.
        groups: int64 (N,), images with the same number are resampled together: copies of each other.
        seed: of the resampling.

    Raises:
        ValueError: there are no images.
    """
    if len(labels) == 0:
        raise ValueError("There are no images to judge the model on.")
    confusions, members = group_confusions(probabilities.argmax(axis=-1), labels, groups)
    calibration = _calibration_sums(probabilities, labels, members)
    weights = _bootstrap_weights(len(confusions), seed)
    matrices = np.tensordot(weights, confusions, axes=1)
    figures = {
        "accuracy": accuracy(matrices),
        "macro_f1": macro_f1(matrices),
        "balanced_accuracy": balanced_accuracy(matrices),
        "ece": calibration_error(np.tensordot(weights, calibration, axes=1)),
    }
    return Evaluation(
        images=len(labels),
        groups=len(confusions),
        **{name: _required_interval(values) for name, values in figures.items()},
        by_class=_by_class(matrices),
        confusion=matrices[0].astype(int).tolist(),
    )


def group_confusions(
    predictions: NDArray[np.int64], labels: NDArray[np.int64], groups: NDArray[np.int64]
) -> tuple[Counts, NDArray[np.int64]]:
    """Confusion matrix of each group, (G, 4, 4), and the index of the group of each image, (N,)."""
    numbers, members = np.unique(groups, return_inverse=True)
    confusions = np.zeros((len(numbers), len(CLASSES), len(CLASSES)))
    np.add.at(confusions, (members, labels, predictions), 1)
    return confusions, members.astype(np.int64)


def accuracy(matrices: Counts) -> NDArray[np.float64]:
    """Share of right answers of each matrix in (..., 4, 4)."""
    return np.asarray(_right(matrices).sum(axis=-1) / matrices.sum(axis=(-2, -1)))


def recalls(matrices: Counts) -> NDArray[np.float64]:
    """Recall of each class, (..., 4); nan for a class without images."""
    return _ratio(_right(matrices), matrices.sum(axis=-1))


def precisions(matrices: Counts) -> NDArray[np.float64]:
    """Precision of each class, (..., 4); nan for a class that was never predicted."""
    return _ratio(_right(matrices), matrices.sum(axis=-2))


def balanced_accuracy(matrices: Counts) -> NDArray[np.float64]:
    """Mean recall of the classes that have images."""
    return np.asarray(np.nanmean(recalls(matrices), axis=-1))


def macro_f1(matrices: Counts) -> NDArray[np.float64]:
    """Mean F1 of the classes that have images."""
    images = matrices.sum(axis=-1)
    f1 = _ratio(2 * _right(matrices), images + matrices.sum(axis=-2))
    return np.asarray(np.nanmean(np.where(images > 0, f1, np.nan), axis=-1))


def calibration_error(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected calibration error in bins of equal mass, corrected for the bias of small bins.

    The correction is that of Kumar et al. 2019 (arXiv:1909.10155) for the absolute error, in closed form: the error
    that bins of this size would show by chance alone (mean of a folded normal distribution) is taken off.

    Args:
        sums: (..., B, 3), in each bin the number of images, the sum of their confidences, and how many are right.

    Returns:
        (...), in [0, 1].
    """
    from scipy.special import erf

    count = np.maximum(sums[..., 0], 1e-9)
    share = sums[..., 0] / sums[..., 0].sum(axis=-1, keepdims=True)
    right = sums[..., 2] / count
    gap = np.abs(right - sums[..., 1] / count)
    sigma = np.maximum(np.sqrt(right * (1 - right) / count), 1e-9)
    chance = sigma * np.sqrt(2 / np.pi) * np.exp(-((gap / sigma) ** 2) / 2) + gap * erf(gap / sigma / np.sqrt(2))
    return np.asarray(np.maximum((share * (2 * gap - chance)).sum(axis=-1), 0.0))


def confusion_png(evaluation: Evaluation) -> bytes:
    """The confusion matrix as a picture: images, coloured by their share of the true class."""
    figure, axes = _figure()
    counts = np.array(evaluation.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    axes.set_xticks(range(len(CLASSES)), CLASSES, rotation=20)
    axes.set_yticks(range(len(CLASSES)), CLASSES)
    axes.set(xlabel="predicted", ylabel="true", title=f"{evaluation.images} images, {evaluation.groups} groups")
    return _png(figure)


def training_curve_png(history: list[dict[str, float]]) -> bytes:
    """Training and validation loss by epoch, with the validation accuracy on the right axis."""
    figure, axes = _figure()
    epochs = [row["epoch"] for row in history]
    for name, label in (("loss", "training loss"), ("val_loss", "validation loss")):
        axes.plot(epochs, [row[name] for row in history], label=label)
    axes.set(xlabel="epoch", ylabel="loss")
    right = axes.twinx()
    right.plot(epochs, [row["val_accuracy"] for row in history], "g--", label="validation accuracy")
    right.set(ylabel="accuracy", ylim=(0, 1))
    figure.legend(loc="outside upper center", ncols=3)
    return _png(figure)


def _calibration_sums(
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.int64], members: NDArray[np.int64]
) -> NDArray[np.float64]:
    confidence = probabilities.max(axis=-1).astype(np.float64)
    bin_count = min(CALIBRATION_BINS, max(1, len(labels) // 10))
    bins = np.argsort(np.argsort(confidence, kind="stable"), kind="stable") * bin_count // len(labels)
    sums = np.zeros((members.max() + 1, bin_count, 3))
    values = np.stack([np.ones(len(labels)), confidence, probabilities.argmax(axis=-1) == labels], axis=-1)
    np.add.at(sums, (members, bins), values)
    return sums


def _bootstrap_weights(groups: int, seed: int) -> NDArray[np.float64]:
    """How often each group is drawn, (1 + RESAMPLES, G); the first row is the set as it is."""
    drawn = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), RESAMPLES)
    return np.vstack([np.ones(groups), drawn])


def _by_class(matrices: Counts) -> dict[str, ClassFigures]:
    precision, recall, images = precisions(matrices), recalls(matrices), matrices[0].sum(axis=-1)
    return {
        name: ClassFigures(
            precision=_interval(precision[:, index]), recall=_interval(recall[:, index]), images=int(images[index])
        )
        for index, name in enumerate(CLASSES)
    }


def _interval(values: NDArray[np.float64]) -> Interval | None:
    return None if np.isnan(values[0]) else _required_interval(values)


def _required_interval(values: NDArray[np.float64]) -> Interval:
    # A resample may lack a class; its figure is then not defined and left out.
    low, high = np.nanpercentile(values[1:], (2.5, 97.5))
    return Interval(value=float(values[0]), low=float(low), high=float(high))


def _right(matrices: Counts) -> NDArray[np.float64]:
    return np.asarray(np.diagonal(matrices, axis1=-2, axis2=-1))


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0))


def _figure() -> tuple["Figure", Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4), dpi=100, layout="constrained")
    return figure, figure.subplots()


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
