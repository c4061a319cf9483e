"""How good the new model is."""

from typing import Any

import dagster as dg
import pandas as pd

from brain_assets.asset_store import ImageSet
from brain_assets.metadata import picture, source_note, table
from brain_assets.ml.records import WEIGHTS_KEY, EvaluatedModel, TrainedModel
from brain_assets.resources import BucketResource, RegistryResource

MAX_CALIBRATION_ERROR = 0.05


@dg.asset(group_name="training", kinds={"keras", "mlflow"})
def model_evaluation(
    trained_model: TrainedModel, transformed_test_set: ImageSet, bucket: BucketResource, registry: RegistryResource
) -> dg.MaterializeResult[EvaluatedModel]:
    """Figures on the test groups, none of whose copies was trained on, with intervals that resample groups.

    Slices of one patient are on one side only, where patients are known.
    """
    from brain_assets.ml.evaluation import evaluate_model
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


@dg.asset_check(asset=model_evaluation)
def confidence_is_calibrated(model_evaluation: EvaluatedModel) -> dg.AssetCheckResult:
    """The expected calibration error is at most 0.05; a warning."""
    error = model_evaluation.metrics.ece.value
    return dg.AssetCheckResult(
        passed=error <= MAX_CALIBRATION_ERROR, severity=dg.AssetCheckSeverity.WARN, metadata={"ece": error}
    )


def _figures_of(figures: Any) -> dict[str, float | int | None]:
    parts = {"recall": figures.recall, "precision": figures.precision}
    return {name: part.value if part else None for name, part in parts.items()} | {"images": figures.images}
