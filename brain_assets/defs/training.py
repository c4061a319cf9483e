"""From images to a published champion."""

from typing import Any

import dagster as dg
import pandas as pd

from brain_assets.asset_store import ImageSet
from brain_assets.config import TrainingParameters
from brain_assets.metadata import picture, source_note, table
from brain_assets.ml.records import WEIGHTS_KEY, EvaluatedModel, PromotionRecord, RegisteredBundle, TrainedModel
from brain_assets.resources import BucketResource, DatabaseResource, RegistryResource

MAX_PARITY = 1e-4
MAX_CALIBRATION_ERROR = 0.05


@dg.asset(group_name="training", kinds={"keras", "mlflow"})
def trained_model(
    context: dg.AssetExecutionContext,
    config: TrainingParameters,
    training_set: pd.DataFrame,
    augmented_dataset: ImageSet,
    bucket: BucketResource,
    registry: RegistryResource,
) -> dg.MaterializeResult[TrainedModel]:
    """Weights and temperature of a new model; its MLflow run has one point an epoch.

    Starts from the champion's weights when corrections are among the images. In the replaced system: `building_model`.
    """
    from brain_assets.ml import lifecycle
    from brain_assets.ml.datasets import image_set, source_of, training_data
    from brain_assets.ml.metrics import training_curve_png

    validation = image_set(training_set[training_set["part"] == "validation"], bucket.data(), bucket.inference())
    data = training_data(augmented_dataset, validation)
    start = lifecycle.starting_point(bucket.data(), training_set, config.architecture)
    tags = {"dagster_run_id": context.run_id, "source": source_of(training_set)}
    with registry.open().run(context.job_name, tags) as run:
        trained = lifecycle.train_tracked(run, data, config.to_training(), start, context.log.info)
    bucket.data().write(WEIGHTS_KEY, trained.weights)
    record = lifecycle.trained_record(run, trained, training_set, start)
    return dg.MaterializeResult(
        value=record,
        metadata={
            "source": source_note(record.provenance.source),
            "mlflow_run": record.run_id,
            "started_from": record.started_from or "scratch",
            "epochs": len(record.history),
            "temperature": record.temperature,
            "curve": picture(training_curve_png(record.history)),
        },
    )


@dg.asset(group_name="training", kinds={"keras", "mlflow"})
def model_evaluation(
    trained_model: TrainedModel, transformed_test_set: ImageSet, bucket: BucketResource, registry: RegistryResource
) -> dg.MaterializeResult[EvaluatedModel]:
    """Figures on the test groups, none of whose copies was trained on, with intervals that resample groups.

    Slices of one patient are on one side only, where patients are known.
    """
    from brain_assets.ml.lifecycle import evaluate_model
    from brain_assets.ml.metrics import confusion_png

    evaluated = evaluate_model(trained_model, bucket.data().read(WEIGHTS_KEY), transformed_test_set)
    metrics = evaluated.metrics
    run = registry.open().existing_run(evaluated.run_id)
    run.log_metrics({f"test_{name}": value for name, value in metrics.headline().items()})
    run.log_files({"confusion.png": confusion_png(metrics)}, "evaluation")
    by_class = [{"class": name, **_figures_of(figures)} for name, figures in metrics.by_class.items()]
    return dg.MaterializeResult(
        value=evaluated,
        metadata={
            "source": source_note(trained_model.provenance.source),
            **metrics.headline(),
            "accuracy_interval": f"{metrics.accuracy.low:.3f} to {metrics.accuracy.high:.3f}",
            "images": metrics.images,
            "groups": metrics.groups,
            "by_class": table(pd.DataFrame(by_class)),
            "confusion": picture(confusion_png(metrics)),
        },
    )


@dg.asset(group_name="training", kinds={"onnx", "mlflow"})
def inference_bundle(
    trained_model: TrainedModel,
    model_evaluation: EvaluatedModel,
    transformed_test_set: ImageSet,
    current_statistics: pd.DataFrame,
    dataset_splits: pd.DataFrame,
    bucket: BucketResource,
    registry: RegistryResource,
) -> dg.MaterializeResult[RegisteredBundle]:
    """One ONNX graph, the gate, the reference and the manifest: all that serving needs; a version in MLflow."""
    from brain_assets.ml.lifecycle import BundleInputs, make_bundle

    weights = bucket.data().read(WEIGHTS_KEY)
    inputs = BundleInputs(
        trained_model, weights, model_evaluation, transformed_test_set, current_statistics, dataset_splits
    )
    bundle = make_bundle(inputs, registry.open(), bucket.data())
    source = source_note(trained_model.provenance.source)
    return dg.MaterializeResult(value=bundle, metadata={"source": source, **bundle.model_dump()})


@dg.asset(group_name="training", kinds={"postgres", "mlflow"})
def promotion(
    context: dg.AssetExecutionContext,
    inference_bundle: RegisteredBundle,
    transformed_test_set: ImageSet,
    current_statistics: pd.DataFrame,
    feedback_set: pd.DataFrame,
    bucket: BucketResource,
    database: DatabaseResource,
    registry: RegistryResource,
) -> dg.MaterializeResult[PromotionRecord]:
    """The decision between the new model and the champion, with every rule; publishes the winner.

    Keeping the champion is a success. The corrections that were trained on are claimed here.
    """
    from brain_assets.ml.lifecycle import apply_decision, decide_promotion

    record = decide_promotion(inference_bundle, transformed_test_set, current_statistics, bucket.data())
    with database.engine() as engine:
        apply_decision(record, feedback_set, context.run_id, (engine, registry.open(), bucket.data()))
    decision = record.decision
    return dg.MaterializeResult(
        value=record,
        metadata={
            "version": record.version,
            "decision": "promoted" if decision.is_promoted else "kept the champion",
            "reason": decision.reason,
            "rules": table(pd.DataFrame([rule.model_dump() for rule in decision.rules])),
        },
    )


@dg.asset_check(asset=model_evaluation)
def confidence_is_calibrated(model_evaluation: EvaluatedModel) -> dg.AssetCheckResult:
    """The expected calibration error is at most 0.05; a warning."""
    error = model_evaluation.metrics.ece.value
    return dg.AssetCheckResult(
        passed=error <= MAX_CALIBRATION_ERROR, severity=dg.AssetCheckSeverity.WARN, metadata={"ece": error}
    )


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


def _figures_of(figures: Any) -> dict[str, float | int | None]:
    parts = {"recall": figures.recall, "precision": figures.precision}
    return {name: part.value if part else None for name, part in parts.items()} | {"images": figures.images}
