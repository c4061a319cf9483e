"""What the new model is compared with: the network of the replaced system."""

import dagster as dg
import pandas as pd
from pydantic import Field

from brain_assets.asset_store import ImageSet
from brain_assets.defs.evaluation import shown
from brain_assets.metadata import source_note
from brain_assets.ml.records import EvaluatedModel
from brain_assets.resources import BucketResource, RegistryResource

BASELINE_GROUP = "baseline"
"""Its assets are made by hand only."""


class BaselineParameters(dg.Config):
    """How long the baseline is trained; the rest is as the replaced system did it."""

    epochs: int = Field(3, ge=1, le=100, description="Passes over the training images; some ten minutes each.")


@dg.asset(group_name=BASELINE_GROUP, kinds={"keras", "mlflow"})
def baseline_model(
    context: dg.AssetExecutionContext,
    config: BaselineParameters,
    training_set: pd.DataFrame,
    augmented_dataset: ImageSet,
    transformed_test_set: ImageSet,
    dataset_splits: pd.DataFrame,
    image_manifest: pd.DataFrame,
    annotations: pd.DataFrame,
    bucket: BucketResource,
    registry: RegistryResource,
) -> dg.MaterializeResult[EvaluatedModel]:
    """Figures of the replaced system's network (`original_cnn`), trained and judged on the same images.

    Made by hand only, a line of the metrics table; it is never exported, registered or promoted.
    """
    from brain_assets.ml import baseline, evaluation_report
    from brain_assets.ml.datasets import source_of
    from brain_assets.ml.evaluation import judge
    from brain_assets.ml.image_facts import KnownImages
    from brain_assets.ml.model import BASELINE
    from brain_assets.ml.tracking import table_version

    source, settings = source_of(training_set), baseline.BaselineConfig(epochs=config.epochs)
    tags = {**baseline.ROLE_TAGS, "source": source, "dagster_run_id": context.run_id}
    with registry.open().run("baseline", tags) as run:
        about = {"architecture": BASELINE, "data_version": table_version(training_set)}
        run.log_params({**about, "images": len(augmented_dataset), **vars(settings)})
        model = baseline.train_baseline(
            augmented_dataset, settings, lambda epoch, metrics: run.log_metrics(metrics, epoch)
        )
        known = KnownImages(dataset_splits, image_manifest, annotations)
        judged = judge(baseline.baseline_predictor(model), transformed_test_set, known, bucket.data())
        files = baseline.baseline_files(judged)
        evaluation_report.log_evaluation(run, judged, files)
    pictures = evaluation_report.page_pictures(judged, files)
    return dg.MaterializeResult(
        value=EvaluatedModel(run_id=run.run_id, metrics=judged.evaluation),
        metadata={"source": source_note(source), "mlflow_run": run.run_id, **shown(judged.evaluation, pictures)},
    )


baseline_job = dg.define_asset_job(
    "baseline",
    selection=dg.AssetSelection.assets(baseline_model),
    description="The replaced system's network on the same images, for comparison; started by hand.",
)
