"""How good the new model is."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pandas as pd

from brain_assets.asset_store import ImageSet
from brain_assets.metadata import figures, picture, source_note, table
from brain_assets.ml.figures import Evaluation
from brain_assets.ml.records import WEIGHTS_KEY, EvaluatedModel, TrainedModel
from brain_assets.resources import BucketResource, RegistryResource

MAX_CALIBRATION_ERROR = 0.05


@dg.asset(group_name="training", kinds={"keras", "mlflow"})
def model_evaluation(
    trained_model: TrainedModel,
    transformed_test_set: ImageSet,
    dataset_splits: pd.DataFrame,
    image_manifest: pd.DataFrame,
    annotations: pd.DataFrame,
    feedback_set: pd.DataFrame,
    bucket: BucketResource,
    registry: RegistryResource,
) -> dg.MaterializeResult[EvaluatedModel]:
    """Figures on the test part, of which no copy and no known patient was trained on; intervals resample patients.

    One image of each group of copies is judged; the figure on the published split stands beside, named as inflated, and
    those on the held-out part of the accepted corrections, which grows.
    Figures, pictures and the model card go to the MLflow run of the training.
    """
    from brain_assets.ml import evaluation_report as report
    from brain_assets.ml.evaluation import evaluate_model
    from brain_assets.ml.image_facts import KnownImages
    from brain_assets.ml.judging import held_out_images, trained_on
    from brain_assets.ml.metrics_table import metrics_table, readable, with_new_model
    from brain_assets.ml.model_card import split_sizes

    start = trained_model.started_from
    seen = trained_on(bucket.data(), start) if start else set()
    held_out = held_out_images(feedback_set, bucket.inference(), seen)
    known = KnownImages(dataset_splits, image_manifest, annotations, held_out)
    weights, mlflow = bucket.data().read(WEIGHTS_KEY), registry.open()
    evaluated, judged = evaluate_model(trained_model, weights, transformed_test_set, known, bucket.data())
    files = report.evaluation_files(judged, trained_model, split_sizes(dataset_splits))
    report.log_evaluation(mlflow.existing_run(evaluated.run_id), judged, files)
    models = with_new_model(metrics_table(mlflow), trained_model, evaluated.metrics)
    return dg.MaterializeResult(
        value=evaluated,
        metadata={
            "source": source_note(trained_model.provenance.source),
            **shown(evaluated.metrics, report.page_pictures(judged, files)),
            "models": table(readable(models)),
            "model_card": dg.MetadataValue.md(files[report.CARD_FILE].decode()),
        },
    )


@dg.asset_check(asset=model_evaluation)
def confidence_is_calibrated(model_evaluation: EvaluatedModel) -> dg.AssetCheckResult:
    """The expected calibration error is at most 0.05; a warning."""
    error = model_evaluation.metrics.ece.value
    return dg.AssetCheckResult(
        passed=error <= MAX_CALIBRATION_ERROR, severity=dg.AssetCheckSeverity.WARN, metadata={"ece": error}
    )


def shown(evaluation: Evaluation, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    """An evaluation in Dagit: numbers, tables and pictures."""
    published, told = evaluation.published_split, evaluation.feedback_test
    intervals: list[dict[str, Any]] = [
        {"figure": name, **figure.model_dump()} for name, figure in evaluation.intervals().items()
    ]
    tables = {
        "by_class": [row for row in intervals if row["figure"].startswith("by_class")],
        "by_source_and_plane": [row for row in intervals if row["figure"].startswith(("by_source", "by_plane"))],
        "figures": [row for row in intervals if not row["figure"].startswith("by_")],
    }
    return {
        **evaluation.headline(),
        **figures({"published_split_accuracy": published.accuracy.value if published else None}),
        **({"published_split_note": published.note} if published else {}),
        **figures({"feedback_test_accuracy": told.accuracy.value if told else None}),
        "feedback_test_images": told.images if told else 0,
        "images": evaluation.images,
        "groups": evaluation.groups,
        **figures({"components": evaluation.components}),
        **{name: table(pd.DataFrame(rows)) for name, rows in tables.items() if rows},
        **{name: picture(png) for name, png in pictures.items()},
    }
