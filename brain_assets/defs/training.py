"""From images to weights."""

import dagster as dg
import pandas as pd

from brain_assets.asset_store import ImageSet
from brain_assets.config import TrainingParameters
from brain_assets.defs.training_runs import RETRAINING_JOB, refuse_second_training
from brain_assets.metadata import picture, source_note
from brain_assets.ml.records import WEIGHTS_KEY, TrainedModel
from brain_assets.resources import BucketResource, RegistryResource


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
    refuse_second_training(context.instance, context.run_id)
    from brain_assets.ml import tracking
    from brain_assets.ml.datasets import image_set, source_of, training_data
    from brain_assets.ml.metrics import training_curve_png

    validation = image_set(training_set[training_set["part"] == "validation"], bucket.data(), bucket.inference())
    data = training_data(augmented_dataset, validation, training_set)
    architecture = config.to_training(source_of(training_set)).architecture
    start = tracking.starting_point(bucket.data(), training_set, architecture, context.job_name == RETRAINING_JOB)
    how = config.to_training(source_of(training_set), is_retraining=start is not None)
    tags = {"dagster_run_id": context.run_id, "source": source_of(training_set)}
    version = tracking.table_version(training_set)
    training = tracking.TrackedTraining(data, how, version, start, bucket.data())
    with registry.open().run(context.job_name, tags) as run:
        trained = tracking.train_tracked(run, training, context.log.info)
    bucket.data().write(WEIGHTS_KEY, trained.weights)
    record = tracking.trained_record(run, trained, training_set, training)
    return dg.MaterializeResult(
        value=record,
        metadata={
            "source": source_note(record.provenance.source),
            "mlflow_run": record.run_id,
            "started_from": training.started_from,
            "epochs": len(record.history),
            "temperature": record.temperature,
            "curve": picture(training_curve_png(record.history)),
        },
    )
