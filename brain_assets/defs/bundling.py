"""From weights to all that serving needs."""

import dagster as dg
import pandas as pd

from brain_assets.asset_store import ImageSet
from brain_assets.metadata import source_in, source_note
from brain_assets.ml.records import WEIGHTS_KEY, EvaluatedModel, RegisteredBundle, TrainedModel
from brain_assets.resources import BucketResource, RegistryResource
from brain_core.gate import Gate

MAX_PARITY = 1e-4


@dg.asset(group_name="training", kinds={"scikitlearn"})
def upload_gate(current_statistics: pd.DataFrame, dataset_splits: pd.DataFrame) -> dg.MaterializeResult[Gate]:
    """Tells brain MRI slices from all other pictures, for every bundle that is made; corrections do not change it."""
    from brain_assets.ml.gate_fitting import build_gate

    gate = build_gate(current_statistics, dataset_splits)
    return dg.MaterializeResult(
        value=gate,
        metadata={
            "source": source_note(source_in(dataset_splits)),
            "threshold": gate.threshold,
            "known_images": len(gate.known.thumbnails),
        },
    )


@dg.asset(group_name="training", kinds={"onnx", "mlflow"})
def inference_bundle(
    trained_model: TrainedModel,
    model_evaluation: EvaluatedModel,
    transformed_test_set: ImageSet,
    current_statistics: pd.DataFrame,
    dataset_splits: pd.DataFrame,
    upload_gate: Gate,
    feedback_set: pd.DataFrame,
    bucket: BucketResource,
    registry: RegistryResource,
) -> dg.MaterializeResult[RegisteredBundle]:
    """One ONNX graph, the gate, the reference and the manifest: all that serving needs; a version in MLflow."""
    from brain_assets.ml.bundling import BundleInputs, make_bundle
    from brain_assets.ml.earlier_splits import known_images

    start = trained_model.started_from
    inputs = BundleInputs(
        trained_model,
        bucket.data().read(WEIGHTS_KEY),
        model_evaluation,
        transformed_test_set,
        current_statistics,
        dataset_splits,
        upload_gate,
        feedback_set,
        known_images(bucket.data(), start) if start else None,
    )
    bundle = make_bundle(inputs, registry.open(), bucket.data())
    source = source_note(trained_model.provenance.source)
    return dg.MaterializeResult(value=bundle, metadata={"source": source, **bundle.model_dump()})


@dg.asset_check(asset=inference_bundle, blocking=True)
def onnx_equals_keras(inference_bundle: RegisteredBundle) -> dg.AssetCheckResult:
    """Probabilities of the exported graph and of Keras differ by at most 0.0001 on the same images."""
    difference = inference_bundle.parity
    return dg.AssetCheckResult(passed=difference <= MAX_PARITY, metadata={"largest_difference": difference})


@dg.asset_check(
    asset=inference_bundle,
    blocking=True,
    additional_ins={"transformed_test_set": dg.AssetIn("transformed_test_set")},
)
def bundle_verifies(
    inference_bundle: RegisteredBundle, transformed_test_set: ImageSet, bucket: BucketResource
) -> dg.AssetCheckResult:
    """The uploaded bundle has every file with its hash, loads as serving loads it, and answers."""
    from brain_core.bundle import load_bundle

    bundle = load_bundle(bucket.data(), inference_bundle.version)
    (answer,) = bundle.predict(transformed_test_set.images[:1])
    total = float(answer.probabilities.sum())
    return dg.AssetCheckResult(passed=abs(total - 1) < MAX_PARITY, metadata={"sum_of_probabilities": total})
