"""How good a model is on a folder of class folders, and how much of that the model has seen in its training."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.ml.metrics import evaluate
from brain_assets.ml.resampling import Resampling
from brain_cli.image_files import Unreadable, find_images, printable
from brain_cli.offline import JudgedFile, OfflineModel
from brain_cli.seen_images import PARTS, TUNED_ON, seen_images
from brain_core.descriptors import thumbnail
from brain_core.errors import SourceClassUnknown, SourceEmpty, SourceMissing
from brain_core.imaging import pixel_sha256
from brain_core.labels import CLASSES, NOTICE

SUBSETS = ("without_training_images", "without_training_and_validation_images", "without_likely_copies")
"""The parts of a folder that are judged besides the whole."""

_ADVICE = "Only without_likely_copies leaves all of these out."


@dataclass(frozen=True)
class Labelled:
    """What a folder of class folders holds.

    Attributes:
        labels: the class of each file, by its path.
        unreadable: folders that may not be read.
    """

    labels: dict[str, str]
    unreadable: list[Unreadable]


@dataclass(frozen=True)
class Judged:
    """What is kept of one judged image.

    Attributes:
        label: index into `labels.CLASSES` of its folder.
        probabilities: float32 (4,), sums to 1.
        is_accepted: by the upload gate.
        pixel_sha256: of its grey pixels and their shape, as in `split.parquet`.
        thumbnail: uint8 (32, 32).
    """

    label: int
    probabilities: NDArray[np.float32]
    is_accepted: bool
    pixel_sha256: str
    thumbnail: NDArray[np.uint8]


def find_labelled(folder: Path) -> Labelled:
    """The images of a folder of class folders, class by class; what is hidden (`.name`) or lies beside is left out.

    Raises:
        SourceMissing: there is no such folder, or it may not be read.
        SourceClassUnknown: it holds a folder that is not one of `labels.CLASSES`.
        SourceEmpty: its class folders hold nothing.
    """
    found = Labelled({}, [])
    for label in _class_folders(folder):
        images = find_images([str(folder / label)])
        found.labels.update(dict.fromkeys(images.files, label))
        found.unreadable.extend(images.unreadable)
    if not found.labels:
        raise SourceEmpty(f"{folder} holds no JPEG or PNG image. Put images into folders named {', '.join(CLASSES)}.")
    return found


def summary(judged: JudgedFile | Unreadable, labels: dict[str, str]) -> Judged | Unreadable:
    """What is kept of a judged file; one that could not be read is passed on."""
    if isinstance(judged, Unreadable):
        return judged
    return Judged(
        label=CLASSES.index(labels[judged.path]),
        probabilities=judged.judgement.inference.probabilities,
        is_accepted=judged.judgement.decision.is_valid,
        pixel_sha256=pixel_sha256(judged.image.grey),
        thumbnail=thumbnail(judged.image.grey),
    )


def evaluation(model: OfflineModel, folder: Path, results: Iterable[Judged | Unreadable]) -> dict[str, Any]:
    """All figures of a folder, ready for JSON.

    Intervals resample images of equal content together, since nothing else is known of them: they are too narrow where
    a patient has several slices.

    Args:
        model: that judged.
        folder: what was judged.
        results: of `summary` for each file.

    Returns:
        `metrics.Evaluation` as a dictionary and `accepted_by_gate`; what the model was judged on; and the same figures
        again for each of `SUBSETS`, None where nothing is left or the bundle does not know its training images.

    Raises:
        SourceEmpty: no image could be read.
    """
    judged, unreadable = _separated(results)
    if not judged:
        raise SourceEmpty(f"None of the {len(unreadable)} images in {folder} can be read.")
    seen = seen_images(model.files, model.bundle)
    parts = seen.part_of([item.pixel_sha256 for item in judged])
    is_copy = seen.likely_copies(np.stack([item.thumbnail for item in judged]))
    return {
        "notice": NOTICE,
        "folder": printable(str(folder)),
        "model": _model_facts(model),
        "warning": _warning(parts, is_copy),
        "unreadable": len(unreadable),
        "unreadable_files": [item.as_record() for item in unreadable],
        **_figures(judged),
        "images_by_part": None if parts is None else {name: int((parts == name).sum()) for name in (*PARTS, "unknown")},
        "likely_copies": int(is_copy.sum()),
        "likely_copies_note": seen.limits,
        **_subset_figures(judged, parts, is_copy),
    }


def _class_folders(folder: Path) -> list[str]:
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as exc:
        raise SourceMissing(f"The folder {printable(str(folder))} cannot be read: {exc.strerror}.") from exc
    unknown = [name for name in names if name not in CLASSES]
    if unknown:
        raise SourceClassUnknown(
            f"{printable(os.path.join(folder, unknown[0]))} is not one of the classes {', '.join(CLASSES)}. "
            "Rename the folder, take it out, or name the folder that holds the class folders."
        )
    return names


def _separated(results: Iterable[Judged | Unreadable]) -> tuple[list[Judged], list[Unreadable]]:
    judged: list[Judged] = []
    unreadable: list[Unreadable] = []
    for result in results:
        if isinstance(result, Unreadable):
            unreadable.append(result)
        else:
            judged.append(result)
    return judged, unreadable


def _subset_figures(
    judged: list[Judged], parts: NDArray[np.str_] | None, is_copy: NDArray[np.bool_]
) -> dict[str, dict[str, Any] | None]:
    if parts is None:
        return dict.fromkeys(SUBSETS)
    is_tuned_on = np.isin(parts, TUNED_ON)
    unseen = (parts != "train", ~is_tuned_on, ~is_tuned_on & ~is_copy)
    return {
        name: _figures([judged[index] for index in np.flatnonzero(chosen)]) if chosen.any() else None
        for name, chosen in zip(SUBSETS, unseen, strict=True)
    }


def _figures(judged: list[Judged]) -> dict[str, Any]:
    _, groups = np.unique([item.pixel_sha256 for item in judged], return_inverse=True)
    probabilities = np.stack([item.probabilities for item in judged])
    figures = evaluate(probabilities, np.array([item.label for item in judged]), groups.astype(np.int64)).as_dict()
    accepted = Resampling(groups.astype(np.int64)).mean(np.array([item.is_accepted for item in judged]))
    return figures | {"accepted_by_gate": accepted.model_dump() if accepted else None}


def _model_facts(model: OfflineModel) -> dict[str, Any]:
    manifest = model.bundle.manifest
    facts = {"version": manifest.version, "origin": model.origin, "data_version": manifest.data_version}
    return facts | {"trained_on": manifest.provenance.source, "architecture": manifest.architecture}


def _warning(parts: NDArray[np.str_] | None, is_copy: NDArray[np.bool_]) -> str | None:
    return " ".join(_warnings(parts, is_copy)) or None


def _warnings(parts: NDArray[np.str_] | None, is_copy: NDArray[np.bool_]) -> Iterator[str]:
    copies, images = int(is_copy.sum()), len(is_copy)
    if parts is None:
        yield "The bundle does not say which images it was trained on, so the figures may be those of training images."
    elif trained := int((parts == "train").sum()):
        yield (
            f"{trained} of the {images} images were in the model's training: the figures over all images say little "
            "about new ones. Look at without_training_images and without_likely_copies."
        )
    if parts is not None and (tuned := int((parts == "validation").sum())):
        yield f"{tuned} of the {images} images were used to choose the model's settings."
    if copies:
        yield f"{copies} of the {images} images are likely copies of images that the model has seen. {_ADVICE}"
