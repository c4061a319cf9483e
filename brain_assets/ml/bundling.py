"""From a judged model to a bundle in the bucket and a version in MLflow."""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as package_version

import pandas as pd

from brain_assets.asset_store import ImageSet
from brain_assets.ml.export import (
    bundle_contents,
    bundle_files,
    calibrated_model,
    export_onnx,
    golden_answers,
    parity,
    predict_in_batches,
    reference_table,
)
from brain_assets.ml.fingerprints import perceptual_hashes
from brain_assets.ml.publishing import BUNDLE_FOLDER, upload_bundle
from brain_assets.ml.records import EvaluatedModel, RegisteredBundle, TrainedModel
from brain_assets.ml.registry import ModelRegistry
from brain_assets.ml.signature import MLMODEL_FILE, mlmodel_file
from brain_assets.ml.statistics import stacked_thumbnails
from brain_assets.ml.tracking import recipe_of
from brain_core.bundle import GOLDEN_FILE, MODEL_FILE, Manifest, OnnxSession
from brain_core.gate import Gate
from brain_core.storage import Bucket

PARITY_IMAGES = 64


@dataclass(frozen=True)
class BundleInputs:
    """What a bundle is made from.

    Attributes:
        model: record of the training.
        weights: its weights.
        evaluation: its figures.
        test: the test images.
        statistics: of the source's images.
        splits: as the asset `dataset_splits` holds them.
        gate: for the uploads, as `gate_fitting.build_gate` makes it.
        feedback: as `feedback.screen` makes it; None where there is none.
        inherited: what the model knew whose weights it started from (`pixel_sha256`, `part`); None where from none.
    """

    model: TrainedModel
    weights: bytes
    evaluation: EvaluatedModel
    test: ImageSet
    statistics: pd.DataFrame
    splits: pd.DataFrame
    gate: Gate
    feedback: pd.DataFrame | None = None
    inherited: pd.DataFrame | None = None


@dataclass(frozen=True)
class Exported:
    """The files of a bundle before it has a version.

    Attributes:
        contents: all files but the manifest.
        parity: largest difference between Keras' and ONNX' probabilities.
        gate_threshold: of the upload gate.
    """

    contents: dict[str, bytes]
    parity: float
    gate_threshold: float

    @property
    def onnx_mb(self) -> float:
        """Size of the graph in megabytes."""
        return len(self.contents[MODEL_FILE]) / 1e6


def export_bundle(inputs: BundleInputs) -> Exported:
    """Export the graph and gather what serving and monitoring compare with.

    Raises:
        BundleError: the exported graph is not one that serving can run.
        TrainingError: the weights do not fit.
    """
    keras_model = calibrated_model(inputs.weights, recipe_of(inputs.model))
    onnx = export_onnx(keras_model, inputs.model.input_size)
    session = OnnxSession(onnx, threads=2)
    reference = reference_table(inputs.statistics, inputs.test.keys, *predict_in_batches(session, inputs.test.images))
    known = images_known(inputs.splits, inputs.statistics, inputs.feedback, inputs.inherited)
    contents = bundle_contents(onnx, inputs.weights, inputs.gate, known, reference)
    contents[GOLDEN_FILE] = golden_answers(session, inputs.model.input_size).to_bytes()
    return Exported(
        contents,
        parity(keras_model, session, inputs.test.images[:PARITY_IMAGES]),
        inputs.gate.threshold,
    )


def images_known(
    splits: pd.DataFrame,
    statistics: pd.DataFrame,
    feedback: pd.DataFrame | None = None,
    inherited: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """What the bundle says of the images that its model knows (`split.parquet`).

    The source's images with their part; the corrected uploads that were trained on, as `train`; and what else the
    model knew whose weights this one started from. `perceptual_hash` has 16 bytes where the picture is known.

    Args:
        splits: as the asset `dataset_splits` holds them.
        statistics: of the source's images.
        feedback: see `BundleInputs`.
        inherited: see `BundleInputs`.
    """
    hashes = perceptual_hashes(stacked_thumbnails(statistics))
    pictures = statistics[["key", "pixel_sha256"]].assign(perceptual_hash=[row.tobytes() for row in hashes])
    parts = [splits.drop(columns="pixel_sha256", errors="ignore").merge(pictures, on="key")]
    if feedback is not None and len(feedback):
        used = feedback[feedback["is_used"]]
        parts.append(used.reindex(columns=["key", "label", *_KNOWN_BY]).assign(part="train", source="upload"))
    if inherited is not None:
        earlier = inherited[inherited["part"] != "test"]
        named = pd.concat(part.loc[part["part"] != "test", "pixel_sha256"] for part in parts)
        columns = [name for name in ("key", "label", *_KNOWN_BY, "part", "source") if name in earlier]
        parts.append(earlier.loc[~earlier["pixel_sha256"].isin(named), columns])
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


_KNOWN_BY = ("pixel_sha256", "perceptual_hash")


def make_bundle(inputs: BundleInputs, registry: ModelRegistry, bucket: Bucket) -> RegisteredBundle:
    """Export, register a version in MLflow, and upload the bundle to the bucket and to the run's artifacts.

    Raises:
        BundleError: the exported graph is not one that serving can run.
        RegistryError: MLflow is away.
        StorageError: the bucket is away.
    """
    exported = export_bundle(inputs)
    run = registry.existing_run(inputs.model.run_id)
    version = registry.register(run, BUNDLE_FOLDER, {"source": inputs.model.provenance.source})
    files = bundle_files(exported.contents, manifest_of(version, inputs))
    signature = {MLMODEL_FILE: mlmodel_file(exported.contents[MODEL_FILE], run.run_id)}
    run.log_files({**files, **signature}, BUNDLE_FOLDER)
    upload_bundle(bucket, version, files)
    return RegisteredBundle(
        version=version,
        run_id=run.run_id,
        parity=exported.parity,
        gate_threshold=exported.gate_threshold,
        onnx_mb=exported.onnx_mb,
    )


def manifest_of(version: str, inputs: BundleInputs) -> Manifest:
    """What the bundle says about itself; the hashes are added with the files."""
    return Manifest(
        version=version,
        created_at=datetime.now(UTC),
        architecture=inputs.model.architecture,
        input_size=inputs.model.input_size,
        temperature=inputs.model.temperature,
        set_threshold=inputs.model.set_threshold,
        coverage=inputs.model.coverage,
        data_version=inputs.model.data_version,
        code_version=package_version("brain-assets"),
        metrics=inputs.evaluation.metrics.as_dict(),
        provenance=inputs.model.provenance,
        sha256={},
    )
