"""What the promotion policy is applied to: the test images that no model knows, and what the models say about them."""

import io
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_assets.asset_store import ImageSet
from brain_assets.ml.datasets import FEEDBACK, image_set, images_that_are_there
from brain_assets.ml.feedback import held_out_rows
from brain_assets.ml.ingestion import load_tensors
from brain_assets.ml.latency import LoadedModel, single_image_latencies_ms
from brain_assets.ml.localisation import peak_in_box
from brain_assets.ml.metrics import expected_calibration_error
from brain_assets.ml.policy import Answers, Candidate, Evidence, JudgedImages
from brain_assets.ml.records import RegisteredBundle
from brain_core.bundle import MODEL_FILE, SPLIT_FILE, OnnxSession, bucket_files, read_manifest, verified
from brain_core.storage import Bucket

BATCH = 64


@dataclass(frozen=True)
class PromotionInputs:
    """What is decided about, and what it is judged on.

    Attributes:
        bundle: the new model.
        test: the test images.
        splits: `key`, `group`, `part`, `is_representative` and `component` of all images (without `component` every
            group is its own).
        statistics: `key` and `pixel_sha256` of all images.
        feedback: the screened feedback, of which the held-out part judges; None where there is none.
        uploads: bucket of the images of the feedback.
    """

    bundle: RegisteredBundle
    test: ImageSet
    splits: pd.DataFrame
    statistics: pd.DataFrame
    feedback: pd.DataFrame | None = None
    uploads: Bucket | None = None


@dataclass(frozen=True)
class Judged:
    """Models, and what they are compared on.

    Attributes:
        candidates: the models in the order that they were asked for.
        evidence: the images.
        left_out_groups: number of test groups of which a model knows something.
    """

    candidates: list[Candidate]
    evidence: Evidence
    left_out_groups: int


def judge(inputs: PromotionInputs, versions: list[str], bucket: Bucket) -> Judged:
    """Ask published bundles about the test groups that none of them was trained on, and measure their latency.

    Raises:
        BundleError: a version has no whole bundle.
        StorageError: the bucket is away.
    """
    models = [_loaded(bucket, version) for version in versions]
    seen = set[str]().union(*(trained_on(bucket, version) for version in versions))
    rows, left_out = common_test_rows(inputs.test, inputs.splits, inputs.statistics, seen)
    held_out = _held_out(inputs, seen)
    candidates = _candidates(models, inputs, rows, bucket)
    if held_out is not None and inputs.uploads is not None:
        answers = [_feedback_answers(model, held_out, inputs.uploads) for model in models]
        candidates = [replace(one, feedback=found) for one, found in zip(candidates, answers, strict=True)]
    evidence = Evidence(_judged(inputs.test, rows, inputs.splits), _judged_feedback(held_out))
    return Judged(candidates, evidence, left_out)


def held_out_images(feedback: pd.DataFrame, uploads: Bucket, seen: set[str]) -> ImageSet | None:
    """The held-out images of the feedback that are still there, one a group of copies; None where there is none.

    `groups` has the same number for copies and near slices: they are resampled together.

    Args:
        feedback: as `feedback.screen` makes it.
        uploads: bucket of the images.
        seen: `pixel_sha256` of what one of the models that are judged was trained or tuned on.
    """
    held_out = held_out_rows(feedback, seen)
    if held_out.empty:
        return None
    rows = images_that_are_there(held_out.assign(origin=FEEDBACK, group=held_out["related_group"]), uploads)
    return image_set(rows, uploads, uploads) if len(rows) else None


def trained_on(bucket: Bucket, version: str) -> set[str]:
    """`pixel_sha256` of the images that a published model was trained or tuned on.

    Raises:
        BundleError: the version has no whole bundle.
        StorageError: the bucket is away.
    """
    files = bucket_files(bucket, version)
    known = pd.read_parquet(io.BytesIO(verified(files, read_manifest(files), SPLIT_FILE)))
    return set(known.loc[known["part"] != "test", "pixel_sha256"])


def common_test_rows(
    test: ImageSet, splits: pd.DataFrame, statistics: pd.DataFrame, seen: set[str]
) -> tuple[NDArray[np.int64], int]:
    """Where the representatives of the test groups are in a test set that no model has learned anything of.

    A component (patient) of which any image was trained on is left out as a whole.

    Args:
        test: the test images.
        splits: see `PromotionInputs`.
        statistics: see `PromotionInputs`.
        seen: `pixel_sha256` of the images that one of the models was trained or tuned on.

    Returns:
        Rows of the test set, int64 (M,), one a group; and the number of groups that were left out.
    """
    images = splits.drop(columns="pixel_sha256", errors="ignore").merge(statistics[["key", "pixel_sha256"]], on="key")
    component = _component(images)
    known = set(component[images["pixel_sha256"].isin(seen)])
    judges = (images["part"] == "test") & images["is_representative"]
    fair = set(images.loc[judges & ~component.isin(known), "key"])
    rows = np.flatnonzero([key in fair for key in test.keys.tolist()])
    return rows, int((judges & component.isin(known)).sum())


def _component(images: pd.DataFrame) -> "pd.Series[int]":
    return images["component" if "component" in images else "group"]


def _judged(test: ImageSet, rows: NDArray[np.int64], splits: pd.DataFrame) -> JudgedImages:
    components = splits.set_index("key").pipe(_component).loc[test.keys[rows].tolist()].to_numpy(np.int64)
    return JudgedImages(test.labels[rows], components, _has_box(test.boxes[rows]))


def _judged_feedback(feedback: ImageSet | None) -> JudgedImages | None:
    return JudgedImages(feedback.labels, feedback.groups, _has_box(feedback.boxes)) if feedback is not None else None


def _has_box(boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(~np.isnan(boxes).any(axis=1))


def _loaded(bucket: Bucket, version: str) -> LoadedModel:
    # Without its gate: what the gate of an older version knew is nothing that models are compared by.
    files = bucket_files(bucket, version)
    manifest = read_manifest(files)
    return LoadedModel(manifest, OnnxSession(verified(files, manifest, MODEL_FILE), threads=1))


def _held_out(inputs: PromotionInputs, seen: set[str]) -> ImageSet | None:
    if inputs.feedback is None or inputs.uploads is None:
        return None
    return held_out_images(inputs.feedback, inputs.uploads, seen)


def _candidates(
    models: list[LoadedModel], inputs: PromotionInputs, rows: NDArray[np.int64], bucket: Bucket
) -> list[Candidate]:
    latencies = single_image_latencies_ms(models)
    boxes, labels = inputs.test.boxes[rows], inputs.test.labels[rows]
    candidates = []
    for model, latency_ms in zip(models, latencies, strict=True):
        images = _pixels(inputs.test, rows, model.manifest.input_size, bucket)
        answers, probabilities = _answers(model, images, boxes)
        candidates.append(
            Candidate(
                version=model.manifest.version,
                source=model.manifest.provenance.source,
                architecture=model.manifest.architecture,
                test=answers,
                calibration_error=expected_calibration_error(probabilities, labels) if len(rows) else np.nan,
                parity=inputs.bundle.parity if model.manifest.version == inputs.bundle.version else np.nan,
                latency_ms=latency_ms,
            )
        )
    return candidates


def _pixels(test: ImageSet, rows: NDArray[np.int64], size: int, bucket: Bucket) -> NDArray[np.uint8]:
    """The images as a model of this input size is served them."""
    if test.images.shape[1] == size:
        return np.asarray(test.images[rows])
    return load_tensors(bucket, test.keys[rows].tolist(), size)


def _feedback_answers(model: LoadedModel, feedback: ImageSet, uploads: Bucket) -> Answers:
    images = _pixels(feedback, np.arange(len(feedback)), model.manifest.input_size, uploads)
    return _answers(model, images, feedback.boxes)[0]


def _answers(
    model: LoadedModel, images: NDArray[np.uint8], boxes: NDArray[np.float32]
) -> tuple[Answers, NDArray[np.float32]]:
    """What a model says, and its probabilities float32 (N, 4)."""
    parts = [np.empty((0, len(model.manifest.classes)), np.float32)]
    on_tumour = [np.empty(0, np.bool_)]
    for start in range(0, len(images), BATCH):
        probabilities, _, maps = model.session.run(images[start : start + BATCH])
        winners = probabilities.argmax(axis=-1)
        told = maps[np.arange(len(maps)), :, :, winners]
        parts.append(probabilities)
        on_tumour.append(peak_in_box(told, boxes[start : start + BATCH]))
    joined = np.concatenate(parts)
    return Answers(joined.argmax(axis=-1), np.concatenate(on_tumour)), joined
