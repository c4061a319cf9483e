"""What the training assets do, step by step: train, judge, bundle, decide."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Engine

from brain_assets.asset_store import ImageSet, version_of
from brain_assets.ml.datasets import FEEDBACK, source_of
from brain_assets.ml.earlier_splits import known_images
from brain_assets.ml.export import (
    WEIGHTS_FILE,
    WeightsRecipe,
    build_gate,
    bundle_contents,
    bundle_files,
    calibrated_model,
    export_onnx,
    parity,
    predict_in_batches,
    reference_table,
)
from brain_assets.ml.feedback import corrections_of
from brain_assets.ml.metrics import evaluate
from brain_assets.ml.promotion import Candidate, PromotionPolicy, TestImages, decide
from brain_assets.ml.publishing import publish_champion, upload_bundle
from brain_assets.ml.records import EvaluatedModel, PromotionRecord, RegisteredBundle, TrainedModel
from brain_assets.ml.registry import CHALLENGER, ModelRegistry, TrackedRun
from brain_assets.ml.training import TrainedWeights, TrainingConfig, TrainingData, train
from brain_core.bundle import (
    Manifest,
    OnnxSession,
    Provenance,
    load_bundle,
    load_manifest,
    read_champion,
)
from brain_core.corrections import CorrectionStore
from brain_core.errors import ModelUnavailable
from brain_core.storage import Bucket, model_key

BUNDLE_FOLDER = "bundle"
PARITY_IMAGES = 64


@dataclass(frozen=True)
class StartingPoint:
    """The champion's weights, when a retraining may start from them."""

    version: str
    weights: bytes


def starting_point(bucket: Bucket, table: pd.DataFrame, architecture: str) -> StartingPoint | None:
    """The champion, when corrections are to be learned and it has the same architecture and kind of images."""
    if not (table["origin"] == FEEDBACK).any() or (champion := champion_manifest(bucket)) is None:
        return None
    if champion.architecture != architecture or champion.provenance.source != source_of(table):
        return None
    return StartingPoint(champion.version, bucket.read(model_key(champion.version, WEIGHTS_FILE)))


def champion_manifest(bucket: Bucket) -> Manifest | None:
    """The manifest of the published champion; None when there is none yet."""
    try:
        return load_manifest(bucket, read_champion(bucket).version)
    except ModelUnavailable:
        return None


def train_tracked(
    run: TrackedRun, data: TrainingData, config: TrainingConfig, start: StartingPoint | None, say: Callable[[str], None]
) -> TrainedWeights:
    """Train with every epoch as a point in MLflow.

    Raises:
        TrainingError: see `training.train`.
        RegistryError: MLflow is away.
    """
    started_from = start.version if start else "scratch"
    run.log_params({**vars(config), "images": len(data.labels), "started_from": started_from})

    def on_epoch(epoch: int, epochs: int, metrics: dict[str, float]) -> None:
        run.log_metrics(metrics, step=epoch)
        say(
            f"epochs: {epoch} of {epochs}, "
            + ", ".join(f"{name} {value:.4f}" for name, value in sorted(metrics.items()))
        )

    trained = train(data, config, on_epoch, start.weights if start else None)
    run.log_metrics({"temperature": trained.temperature, "uncertain_below": trained.uncertain_below})
    return trained


def trained_record(
    run: TrackedRun, trained: TrainedWeights, table: pd.DataFrame, start: StartingPoint | None
) -> TrainedModel:
    """What is kept of a training beside its weights."""
    return TrainedModel(
        run_id=run.run_id,
        architecture=trained.architecture,
        input_size=trained.input_size,
        temperature=trained.temperature,
        uncertain_below=trained.uncertain_below,
        started_from=start.version if start else None,
        data_version=version_of(table[["key", "label", "part", "pixel_sha256"]]),
        provenance=Provenance.model_validate(
            {"source": source_of(table), "feedback": bool((table["origin"] == FEEDBACK).any())}
        ),
        history=trained.history,
    )


def recipe_of(model: TrainedModel) -> WeightsRecipe:
    """What makes the network of a record again."""
    return WeightsRecipe(model.architecture, model.input_size, model.temperature)


def evaluate_model(model: TrainedModel, weights: bytes, test: ImageSet) -> EvaluatedModel:
    """Judge a model on the test images."""
    keras_model = calibrated_model(weights, recipe_of(model))
    probabilities = keras_model.predict(test.images[:], batch_size=64, verbose=0)["probabilities"]
    return EvaluatedModel(run_id=model.run_id, metrics=evaluate(probabilities, test.labels, test.groups))


@dataclass(frozen=True)
class BundleInputs:
    """What a bundle is made from."""

    model: TrainedModel
    weights: bytes
    evaluation: EvaluatedModel
    test: ImageSet
    statistics: pd.DataFrame
    splits: pd.DataFrame


def make_bundle(inputs: BundleInputs, registry: ModelRegistry, bucket: Bucket) -> RegisteredBundle:
    """Export, register a version in MLflow, and upload the bundle to the bucket and to the run's artifacts.

    Raises:
        BundleError: the exported graph is not one that serving can run.
        RegistryError: MLflow is away.
        StorageError: the bucket is away.
    """
    keras_model = calibrated_model(inputs.weights, recipe_of(inputs.model))
    onnx = export_onnx(keras_model, inputs.model.input_size)
    session = OnnxSession(onnx, threads=2)
    gate = build_gate(inputs.statistics, inputs.splits)
    reference = reference_table(inputs.statistics, inputs.test.keys, *predict_in_batches(session, inputs.test.images))
    parts = inputs.splits.drop(columns="pixel_sha256", errors="ignore")
    fingerprints = parts.merge(inputs.statistics[["key", "pixel_sha256"]], on="key")
    contents = bundle_contents(onnx, inputs.weights, gate, fingerprints, reference)
    run = registry.existing_run(inputs.model.run_id)
    version = registry.register(run, BUNDLE_FOLDER, {"source": inputs.model.provenance.source})
    files = bundle_files(contents, _manifest(version, inputs))
    run.log_files(files, BUNDLE_FOLDER)
    upload_bundle(bucket, version, files)
    return RegisteredBundle(
        version=version,
        run_id=run.run_id,
        parity=parity(keras_model, session, inputs.test.images[:PARITY_IMAGES]),
        gate_threshold=gate.threshold,
        onnx_mb=len(onnx) / 1e6,
    )


def decide_promotion(
    bundle: RegisteredBundle, test: ImageSet, statistics: pd.DataFrame, bucket: Bucket
) -> PromotionRecord:
    """Compare a new bundle with the champion on the test images that the champion was not trained on."""
    champion = champion_manifest(bucket)
    fair = np.ones(len(test), bool) if champion is None else _unseen_by(champion, test, statistics, bucket)
    images = TestImages(test.labels[fair], test.groups[fair])
    challenger = _candidate(load_manifest(bucket, bundle.version), test.images[fair], bucket)
    rival = _candidate(champion, test.images[fair], bucket) if champion else None
    decision = decide(challenger, rival, images, PromotionPolicy())
    before = champion.version if champion else None
    return PromotionRecord(version=bundle.version, champion_before=before, decision=decision)


def _candidate(manifest: Manifest, images: NDArray[np.uint8], bucket: Bucket) -> Candidate:
    session: Any = load_bundle(bucket, manifest.version, threads=2).session
    return Candidate(manifest.version, manifest.provenance.source, predict_in_batches(session, images)[0])


def _unseen_by(manifest: Manifest, test: ImageSet, statistics: pd.DataFrame, bucket: Bucket) -> NDArray[np.bool_]:
    split = known_images(bucket, manifest.version)
    seen = set(split.loc[split["part"] != "test", "pixel_sha256"])
    hashes = statistics.set_index("key")["pixel_sha256"].loc[list(test.keys)]
    return ~hashes.isin(seen).to_numpy()


def _manifest(version: str, inputs: BundleInputs) -> Manifest:
    return Manifest(
        version=version,
        created_at=datetime.now(UTC),
        architecture=inputs.model.architecture,
        input_size=inputs.model.input_size,
        temperature=inputs.model.temperature,
        uncertain_below=inputs.model.uncertain_below,
        data_version=inputs.model.data_version,
        code_version=package_version("brain-assets"),
        metrics=inputs.evaluation.metrics.as_dict(),
        provenance=inputs.model.provenance,
        sha256={},
    )


Stores = tuple[Engine, ModelRegistry, Bucket]
"""Where a decision is kept: database, MLflow, data bucket."""


def apply_decision(record: PromotionRecord, feedback: pd.DataFrame, run_id: str, stores: Stores) -> None:
    """Publish a promoted version, mark the other as challenger, claim the corrections that were there.

    Raises:
        DatabaseError, RegistryError, StorageError: that store is away; the decision can be applied again.
    """
    engine, registry, bucket = stores
    if record.decision.is_promoted:
        publish_champion(engine, registry, bucket, record.version, promoted_by=f"dagster run {run_id}")
    else:
        registry.set_alias(CHALLENGER, record.version)
    if len(feedback):
        claimed = corrections_of(feedback)
        CorrectionStore(engine).claim(run_id, record.version, record.decision.is_promoted, claimed)
