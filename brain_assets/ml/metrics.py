"""How good is a model: figures with intervals that respect the groups, and pictures of them."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.ml.figures import ClassFigures as ClassFigures
from brain_assets.ml.figures import Evaluation as Evaluation
from brain_assets.ml.figures import Interval as Interval
from brain_assets.ml.figures import SubsetFigures
from brain_assets.ml.resampling import RESAMPLES as RESAMPLES
from brain_assets.ml.resampling import Resampling, interval, recentred_interval
from brain_core.labels import CLASSES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_IMAGES = "There are no images to judge the model on. Add images to the source, or raise the share of the test part."
CALIBRATION_BINS = 15
IMAGES_A_BIN = 40
"""At least; fewer bins where there are fewer images. What small bins show by chance is only partly taken off again."""

AUC_CHUNK = 100
"""Drawn sets whose ROC curves are made at a time."""

Counts = NDArray[np.float64]
"""Confusion matrices, float64 (..., 4, 4): rows are true classes, columns are predicted ones."""

Probabilities = NDArray[np.floating[Any]]
"""(N, 4), each row sums to 1, in the order of `labels.CLASSES`."""

Labels = NDArray[np.int64]
"""(N,), indices into `labels.CLASSES`."""


def evaluate(probabilities: Probabilities, labels: Labels, groups: NDArray[np.int64], seed: int = 0) -> Evaluation:
    """Judge a model; each interval resamples whole groups, see `resampling`.

    Args:
        probabilities: (N, 4), each row sums to 1.
        labels: int64 (N,), indices into `labels.CLASSES`.
        groups: int64 (N,), images with the same number are resampled together: copies or slices of one patient.
        seed: of the resampling.

    Raises:
        ValueError: there are no images.
    """
    _refuse_nothing(labels)
    resampling = Resampling(groups, seed)
    matrices = resampling.totals(_one_hot(probabilities.argmax(axis=-1), labels))
    areas = class_areas(probabilities, labels, resampling)
    return Evaluation(
        images=len(labels),
        groups=resampling.groups,
        components=resampling.groups,
        accuracy=_required(accuracy(matrices)),
        macro_f1=_required(macro_f1(matrices)),
        balanced_accuracy=_required(balanced_accuracy(matrices)),
        ece=calibration_interval(probabilities, labels, resampling),
        roc_auc=interval(_mean_of_known(areas)),
        by_class=_by_class(matrices, areas),
        confusion=matrices[0].astype(int).tolist(),
    )


def evaluate_subset(predictions: Labels, labels: Labels, components: NDArray[np.int64], seed: int = 0) -> SubsetFigures:
    """The figures that also a few images of one class have.

    Raises:
        ValueError: there are no images.
    """
    _refuse_nothing(labels)
    resampling = Resampling(components, seed)
    matrices = resampling.totals(_one_hot(predictions, labels))
    by_class = {name: interval(recalls(matrices)[:, index]) for index, name in enumerate(CLASSES)}
    return SubsetFigures(
        images=len(labels),
        components=resampling.groups,
        accuracy=_required(accuracy(matrices)),
        balanced_accuracy=_required(balanced_accuracy(matrices)),
        recall={name: found for name, found in by_class.items() if found is not None},
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
    return _mean_of_known(recalls(matrices))


def macro_f1(matrices: Counts) -> NDArray[np.float64]:
    """Mean F1 of the classes that have images."""
    images = matrices.sum(axis=-1)
    f1 = _ratio(2 * _right(matrices), images + matrices.sum(axis=-2))
    return _mean_of_known(np.where(images > 0, f1, np.nan))


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


def expected_calibration_error(probabilities: Probabilities, labels: Labels) -> float:
    """The expected calibration error of a model's confidence, see `calibration_error`; in [0, 1].

    Raises:
        ValueError: there are no images.
    """
    _refuse_nothing(labels)
    return float(calibration_error(calibration_bins(probabilities, labels).sum(axis=0)))


def calibration_interval(probabilities: Probabilities, labels: Labels, resampling: Resampling) -> Interval:
    """The expected calibration error with its interval; the bins are those of the set as it is."""
    return recentred_interval(calibration_error(resampling.totals(calibration_bins(probabilities, labels))))


def class_areas(probabilities: Probabilities, labels: Labels, resampling: Resampling) -> NDArray[np.float64]:
    """Area under the ROC curve of each class against the others, in the set and each drawn one: (1 + RESAMPLES, 4).

    NaN where a set lacks the class or the others. The area is the share of the pairs that are in the right order, ties
    counted half (Hanley and McNeil 1982, doi 10.1148/radiology.143.1.7063747), which weights for each image make fast.
    """
    columns = [_areas(probabilities[:, index], labels == index, resampling) for index in range(len(CLASSES))]
    return np.stack(columns, axis=-1)


def _areas(scores: Probabilities, is_class: NDArray[np.bool_], resampling: Resampling) -> NDArray[np.float64]:
    order = np.argsort(scores, kind="stable")
    sorted_scores, is_class = scores[order], is_class[order]
    positive, negative = np.flatnonzero(is_class), np.flatnonzero(~is_class)
    below = np.searchsorted(sorted_scores[negative], sorted_scores[positive], side="left")
    upto = np.searchsorted(sorted_scores[negative], sorted_scores[positive], side="right")
    parts, members = [], resampling.members[order]
    for start in range(0, len(resampling.weights), AUC_CHUNK):
        chunk = resampling.weights[start : start + AUC_CHUNK, members]
        ranked = np.pad(np.cumsum(chunk[:, negative], axis=1), ((0, 0), (1, 0)))
        pairs = (chunk[:, positive] * (ranked[:, below] + ranked[:, upto]) / 2).sum(axis=1)
        parts.append(_ratio(pairs, chunk[:, positive].sum(axis=1) * ranked[:, -1]))
    return np.concatenate(parts)


def _refuse_nothing(labels: Labels) -> None:
    if len(labels) == 0:
        raise ValueError(NO_IMAGES)


def _one_hot(predictions: Labels, labels: Labels) -> NDArray[np.float64]:
    """Confusion matrix of each image, float64 (N, 4, 4)."""
    matrices = np.zeros((len(labels), len(CLASSES), len(CLASSES)))
    matrices[np.arange(len(labels)), labels, predictions] = 1
    return matrices


def calibration_bins(probabilities: Probabilities, labels: Labels) -> NDArray[np.float64]:
    """What `calibration_error` sums up, of each image: float64 (N, B, 3), B bins of equal mass."""
    confidence = probabilities.max(axis=-1).astype(np.float64)
    bin_count = min(CALIBRATION_BINS, max(1, len(labels) // IMAGES_A_BIN))
    bins = np.argsort(np.argsort(confidence, kind="stable"), kind="stable") * bin_count // len(labels)
    values = np.zeros((len(labels), bin_count, 3))
    right = probabilities.argmax(axis=-1) == labels
    values[np.arange(len(labels)), bins] = np.stack([np.ones(len(labels)), confidence, right], axis=-1)
    return values


def _by_class(matrices: Counts, areas: NDArray[np.float64]) -> dict[str, ClassFigures]:
    precision, recall, images = precisions(matrices), recalls(matrices), matrices[0].sum(axis=-1)
    return {
        name: ClassFigures(
            precision=interval(precision[:, index]),
            recall=interval(recall[:, index]),
            images=int(images[index]),
            roc_auc=interval(areas[:, index]),
        )
        for index, name in enumerate(CLASSES)
    }


def _required(values: NDArray[np.float64]) -> Interval:
    found = interval(values)
    if found is None:
        raise ValueError(NO_IMAGES)
    return found


def _mean_of_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1).astype(np.float64))


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
