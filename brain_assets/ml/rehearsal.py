"""The feedback loop without Dagster, MLflow and PostgreSQL, by the functions that the assets call.

Benchmarks and tests play it through many times: first model, corrections, retraining, decision.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version as package_version

import numpy as np
import pandas as pd
import uuid6

from brain_assets.asset_store import ImageSet
from brain_assets.ml import feedback as screening
from brain_assets.ml.augmentation import AugmentationConfig
from brain_assets.ml.bundling import images_known
from brain_assets.ml.datasets import augmented_image_set, image_set, source_of, training_data, training_table
from brain_assets.ml.deciding import decide_promotion
from brain_assets.ml.earlier_splits import known_images
from brain_assets.ml.export import (
    WeightsRecipe,
    bundle_contents,
    bundle_files,
    calibrated_model,
    export_onnx,
    parity,
    predict_in_batches,
    reference_table,
)
from brain_assets.ml.ingestion import load_tensors
from brain_assets.ml.judging import PromotionInputs
from brain_assets.ml.publishing import upload_bundle
from brain_assets.ml.records import PromotionRecord, RegisteredBundle, TrainedModel
from brain_assets.ml.tracking import BucketCheckpoints, StartingPoint, starting_point, table_version
from brain_assets.ml.trainer import Attempt, EpochCallback
from brain_assets.ml.training import TrainedWeights, train
from brain_assets.ml.training_data import TrainingConfig
from brain_core.bundle import MANIFEST_FILE, ChampionPointer, Manifest, OnnxSession, Provenance, sha256
from brain_core.corrections import Correction
from brain_core.gate import Gate
from brain_core.storage import CHAMPION_KEY, Bucket, corrected_image_key, model_key, write_json

PARITY_IMAGES = 64
NO_FEEDBACK = pd.DataFrame({"key": [], "label": [], "pixel_sha256": [], "is_used": []}).astype({"is_used": bool})


def shown_images(table: pd.DataFrame, bucket: Bucket, annotations: pd.DataFrame, size: int) -> ImageSet:
    """What `datasets.image_set` gives, in this height and width in pixels: smaller than the product's is faster."""
    images = image_set(table, bucket, bucket, annotations)
    if size == images.images.shape[1]:
        return images
    return replace(images, images=load_tensors(bucket, images.keys.tolist(), size))


@dataclass(frozen=True)
class Upload:
    """An image that a reader corrected: bytes of the file, and the class that the reader named."""

    data: bytes
    label: str


@dataclass(frozen=True)
class Recipe:
    """How one model is trained.

    Attributes:
        config: of the training; `epochs`, `learning_rate` and the like.
        feedback_weight: what a corrected image counts.
        augmentation: the stored copies of the training images.
    """

    config: TrainingConfig
    feedback_weight: float = 1.0
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)


@dataclass(frozen=True)
class Rehearsal:
    """One installation.

    Attributes:
        bucket: of images, uploads and models.
        splits: as the asset `dataset_splits` holds them; training images that are to be missing are taken out.
        statistics: of the source's images.
        annotations: of the source's images.
        test: the frozen test images; every model is trained on images of their size.
        gate: of every bundle.
        on_epoch: told of every epoch.
        policy: what becomes of corrections.
    """

    bucket: Bucket
    splits: pd.DataFrame
    statistics: pd.DataFrame
    annotations: pd.DataFrame
    test: ImageSet
    gate: Gate
    on_epoch: EpochCallback | None = None
    policy: screening.FeedbackPolicy = field(default_factory=screening.FeedbackPolicy)

    def without(self, keys: set[str]) -> "Rehearsal":
        """The same installation, whose source lacks these images."""
        return replace(self, splits=self.splits[~self.splits["key"].isin(keys)])

    def first_model(self, version: str, recipe: Recipe) -> None:
        """Train on the source alone and publish."""
        self.make(version, recipe, NO_FEEDBACK)
        self.publish(version)

    def corrected(self, uploads: Sequence[Upload]) -> pd.DataFrame:
        """Keep the uploads as the API does, and screen the corrections as the asset `feedback_set` does."""
        corrections = screening.correction_table([self._kept(upload) for upload in uploads])
        statistics = screening.corrected_statistics(corrections, self.bucket)
        source = self.statistics.merge(self.splits[["key", "part"]], on="key")
        return screening.screen(corrections, statistics, source, policy=self.policy)

    def retrain(self, version: str, recipe: Recipe, feedback: pd.DataFrame) -> PromotionRecord:
        """Retrain from the champion's weights, decide, and publish a promoted version."""
        bundle = self.make(version, recipe, feedback)
        frozen = (self.test, self.splits, self.statistics)
        record = decide_promotion(PromotionInputs(bundle, *frozen, feedback, self.bucket), self.bucket)
        if record.decision.is_promoted:
            self.publish(version)
        return record

    def make(self, version: str, recipe: Recipe, feedback: pd.DataFrame) -> RegisteredBundle:
        """Train a model, from the champion's weights where there are corrections, and upload its bundle."""
        table = training_table(self.splits, feedback, recipe.feedback_weight)
        start = starting_point(self.bucket, table, recipe.config.architecture, is_retraining=len(feedback) > 0)
        trained = self._trained(table, recipe, start)
        record = _record(trained, table, start)
        return self._uploaded(version, trained.weights, record, feedback)

    def publish(self, version: str) -> None:
        """Make a version the champion."""
        manifest = sha256(self.bucket.read(model_key(version, MANIFEST_FILE)))
        pointer = ChampionPointer(
            version=version, sha256=manifest, promoted_at=datetime.now(UTC), promoted_by="rehearsal"
        )
        write_json(self.bucket, CHAMPION_KEY, pointer.model_dump(mode="json"))

    def _kept(self, upload: Upload) -> Correction:
        prediction_id = uuid6.uuid7()
        key = corrected_image_key(upload.label, prediction_id)
        self.bucket.write(key, upload.data)
        return Correction(prediction_id, 1, key, sha256(upload.data), upload.label, datetime.now(UTC))

    def _trained(self, table: pd.DataFrame, recipe: Recipe, start: StartingPoint | None) -> TrainedWeights:
        size = self.test.images.shape[1]
        originals, validation = (
            shown_images(table[table["part"] == part], self.bucket, self.annotations, size)
            for part in ("train", "validation")
        )
        augmented = augmented_image_set(originals, recipe.augmentation)
        mark = f"{sorted(vars(recipe.config).items())} {table_version(table)} {start.version if start else None}"
        attempt = Attempt(self.on_epoch, BucketCheckpoints(self.bucket), mark)
        weights = start.weights if start else None
        return train(training_data(augmented, validation, table), recipe.config, attempt, weights)

    def _uploaded(self, version: str, weights: bytes, record: TrainedModel, feedback: pd.DataFrame) -> RegisteredBundle:
        model = calibrated_model(weights, WeightsRecipe(record.architecture, record.input_size, record.temperature))
        onnx = export_onnx(model, record.input_size)
        session = OnnxSession(onnx, threads=2)
        inherited = known_images(self.bucket, record.started_from) if record.started_from else None
        known = images_known(self.splits, self.statistics, feedback, inherited)
        answers = predict_in_batches(session, self.test.images)
        reference = reference_table(self.statistics, self.test.keys, *answers)
        contents = bundle_contents(onnx, weights, self.gate, known, reference)
        upload_bundle(self.bucket, version, bundle_files(contents, _manifest(version, record)))
        difference = parity(model, session, np.asarray(self.test.images[:PARITY_IMAGES]))
        return RegisteredBundle(version=version, run_id="", parity=difference, gate_threshold=0, onnx_mb=0)


def _record(trained: TrainedWeights, table: pd.DataFrame, start: StartingPoint | None) -> TrainedModel:
    return TrainedModel(
        run_id="",
        architecture=trained.architecture,
        input_size=trained.input_size,
        temperature=trained.temperature,
        set_threshold=trained.set_threshold,
        coverage=trained.coverage,
        started_from=start.version if start else None,
        data_version=table_version(table),
        provenance=Provenance.model_validate({"source": source_of(table), "feedback": start is not None}),
        history=trained.history,
    )


def _manifest(version: str, record: TrainedModel) -> Manifest:
    return Manifest(
        version=version,
        created_at=datetime.now(UTC),
        architecture=record.architecture,
        input_size=record.input_size,
        temperature=record.temperature,
        set_threshold=record.set_threshold,
        coverage=record.coverage,
        data_version=record.data_version,
        code_version=package_version("brain-assets"),
        metrics={},
        provenance=record.provenance,
        sha256={},
    )
