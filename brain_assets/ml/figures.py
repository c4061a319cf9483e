"""The figures of a model as records: what is measured, and on what. None where it cannot be measured."""

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

METRIC_PREFIX = "test_"
"""Of the figures' names in MLflow."""

PUBLISHED_NOTE = "published split: inflated, copies of its images were trained on"

_NOT_IN_METRIC_NAMES = re.compile(r"[^\w.-]")


class Figures(BaseModel):
    """Something measured, that does not change any more."""

    model_config = ConfigDict(frozen=True)


class Interval(Figures):
    """A figure with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


class ClassFigures(Figures):
    """One class's figures; None where they are not defined (no such image, or never predicted).

    Attributes:
        precision: share of the answers of this class that are right.
        recall: share of the images of this class that are told as such.
        images: number of images of this class.
        roc_auc: area under the ROC curve of this class against the others.
    """

    precision: Interval | None
    recall: Interval | None
    images: int
    roc_auc: Interval | None = None


class SubsetFigures(Figures):
    """The figures of some of the images, such as those from one source.

    Attributes:
        images: number of images.
        components: number of components (patients, where known) that they belong to; the intervals resample these.
        accuracy: share of right answers.
        balanced_accuracy: mean recall of the classes that have images here.
        recall: of each class that has images here.
    """

    images: int
    components: int
    accuracy: Interval
    balanced_accuracy: Interval
    recall: dict[str, Interval]


class PublishedFigures(SubsetFigures):
    """The figures on the published split of the data set, beside the honest ones.

    Attributes:
        note: what is wrong with them.
        trained_share: share of these images that were trained or tuned on, themselves or as a copy.
    """

    note: str = PUBLISHED_NOTE
    trained_share: float


class MirrorFigures(Figures):
    """What happens when the images are mirrored left-right; of all images, copies too.

    Attributes:
        consistency: share of the images whose class stays the same.
        accuracy: share of right answers on the mirrored images.
    """

    consistency: Interval
    accuracy: Interval


class LocalisationFigures(Figures):
    """Does the map of a rightly predicted tumour point at the tumour?

    Attributes:
        images: number of rightly predicted images with a known box.
        peak_in_box: share of the images whose map's maximum lies in the box (10 % margin).
        energy_in_box: mean share of the map that lies in the box.
    """

    images: int
    peak_in_box: Interval
    energy_in_box: Interval | None


class Evaluation(Figures):
    """How good a model is on images that it was not trained on.

    Attributes:
        images: number of images; one of each group where groups are known.
        groups: number of groups of copies.
        components: number of components (patients, where known); the intervals resample these.
        accuracy: share of right answers.
        macro_f1: mean of the classes' F1.
        balanced_accuracy: mean of the classes' recalls.
        ece: expected calibration error of the confidence, see `metrics.calibration_error`.
        ece_before_scaling: the same before temperature scaling.
        roc_auc: mean of the classes' areas under the ROC curve, each against the others.
        by_class: figures of each class.
        confusion: images by true class (row) and predicted class (column), in the order of `labels.CLASSES`.
        all_images: figures with every copy counted.
        by_source: figures of the images of each source.
        by_plane: figures of the images of each plane, as far as it is known.
        mirror: figures of mirrored images.
        localisation: of each tumour class, and `all` of them; only what has images with a known box.
        published_split: figures on the published Testing images, wherever the split put them.
        feedback_test: figures on the held-out part of the accepted corrections.
    """

    images: int
    groups: int
    components: int | None = None
    accuracy: Interval
    macro_f1: Interval
    balanced_accuracy: Interval
    ece: Interval
    ece_before_scaling: Interval | None = None
    roc_auc: Interval | None = None
    by_class: dict[str, ClassFigures]
    confusion: list[list[int]]
    all_images: SubsetFigures | None = None
    by_source: dict[str, SubsetFigures] = Field(default_factory=dict)
    by_plane: dict[str, SubsetFigures] = Field(default_factory=dict)
    mirror: MirrorFigures | None = None
    localisation: dict[str, LocalisationFigures] = Field(default_factory=dict)
    published_split: PublishedFigures | None = None
    feedback_test: SubsetFigures | None = None

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return self.model_dump(mode="json")

    def headline(self) -> dict[str, float]:
        """The four figures without their intervals."""
        return {name: getattr(self, name).value for name in ("accuracy", "macro_f1", "balanced_accuracy", "ece")}

    def intervals(self) -> dict[str, Interval]:
        """Every figure that could be measured; names are joined by underscores, as in `by_class_glioma_recall`."""
        return dict(_intervals_in(self))

    def as_metrics(self) -> dict[str, float]:
        """The figures as MLflow's metrics: `test_<name>`, and the bounds of its interval `…_low` and `…_high`."""
        metrics = {}
        for name, figure in self.intervals().items():
            metrics[f"{METRIC_PREFIX}{name}"] = figure.value
            metrics |= {f"{METRIC_PREFIX}{name}_low": figure.low, f"{METRIC_PREFIX}{name}_high": figure.high}
        return metrics


def _intervals_in(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Interval]]:
    if isinstance(value, Interval):
        yield "_".join(path), value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _intervals_in(getattr(value, name), (*path, name))
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _intervals_in(item, (*path, _NOT_IN_METRIC_NAMES.sub("_", str(name))))
