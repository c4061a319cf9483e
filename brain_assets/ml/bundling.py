"""From a judged model to a bundle in the bucket and a version in MLflow."""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as package_version

import pandas as pd

from brain_assets.asset_store import ImageSet
from brain_assets.ml.export import (
    build_gate,
    bundle_contents,
    bundle_files,
    calibrated_model,
    export_onnx,
    parity,
    predict_in_batches,
    reference_table,
)
from brain_assets.ml.publishing import upload_bundle
from brain_assets.ml.records import EvaluatedModel, RegisteredBundle, TrainedModel
from brain_assets.ml.registry import ModelRegistry
from brain_assets.ml.tracking import recipe_of
from brain_core.bundle import Manifest, OnnxSession
from brain_core.storage import Bucket

BUNDLE_FOLDER = "bundle"
PARITY_IMAGES = 64


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
