"""When what is materialised: jobs, sensors, schedules."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from brain_assets.resources import DatabaseResource, SourceResource
from brain_core.errors import BrainError
from brain_core.settings import Settings

MAX_ATTEMPTS = 3
"""A retraining that fails so often for the same corrections waits for a person."""

UNFINISHED = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
CORRECTIONS_TAG = "brain/corrections"

monitoring_assets = dg.AssetSelection.groups("monitoring")

data_and_model_build = dg.define_asset_job(
    "data_and_model_build",
    selection=dg.AssetSelection.all() - monitoring_assets,
    description="From the source to the promotion decision.",
)
model_retraining = dg.define_asset_job(
    "model_retraining",
    selection=dg.AssetSelection.assets("feedback_set").downstream() - monitoring_assets,
    description="The same assets again from the feedback down. In the replaced system: `retrain_model`.",
)
monitoring = dg.define_asset_job(
    "monitoring", selection=monitoring_assets, description="Reference profile, recent predictions and drift report."
)
JOBS = (data_and_model_build, model_retraining, monitoring)

monitoring_daily = dg.ScheduleDefinition(
    name="monitoring_daily",
    job=monitoring,
    cron_schedule="0 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night at 3:00 UTC.",
)


def automation(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensors, with the intervals and the threshold of the settings."""
    return [_source_sensor(settings), _feedback_threshold_sensor(settings)]


def _source_sensor(settings: Settings) -> dg.SensorDefinition:
    @dg.sensor(
        job=data_and_model_build,
        minimum_interval_seconds=settings.source.sensor_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def source_sensor(context: dg.SensorEvaluationContext, source: SourceResource) -> dg.RunRequest | dg.SkipReason:
        """Builds again when the source changed since the last build. In the replaced system: `check_source`."""
        try:
            fingerprint = source.open().fingerprint()
        except BrainError as exc:
            return dg.SkipReason(f"The source cannot be used, tried again later: {exc}")
        built = _built_fingerprint(context.instance)
        if built is None:
            return dg.SkipReason("Nothing was built yet; `brain up` or a person starts the first build.")
        if built == fingerprint:
            return dg.SkipReason("The source is as it was at the last build.")
        if _is_running(context.instance, data_and_model_build.name):
            return dg.SkipReason("A build is running.")
        return dg.RunRequest(run_key=fingerprint)

    return source_sensor


def _feedback_threshold_sensor(settings: Settings) -> dg.SensorDefinition:
    threshold = settings.feedback.threshold

    @dg.sensor(
        job=model_retraining,
        minimum_interval_seconds=settings.feedback.sensor_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def feedback_threshold_sensor(
        context: dg.SensorEvaluationContext, database: DatabaseResource
    ) -> dg.RunRequest | dg.SkipReason:
        """Retrains when more corrections wait than the threshold. In the replaced system: `flag_true`, `flag_false`."""
        from brain_core.corrections import CorrectionStore

        try:
            with database.engine() as engine:
                waiting = CorrectionStore(engine).unclaimed_image_count()
        except BrainError as exc:
            return dg.SkipReason(f"The feedback cannot be read, tried again later: {exc}")
        return _retraining_request(context.instance, waiting, threshold)

    return feedback_threshold_sensor


def _retraining_request(instance: dg.DagsterInstance, waiting: int, threshold: int) -> dg.RunRequest | dg.SkipReason:
    if waiting <= threshold:
        return dg.SkipReason(f"{waiting} corrected images wait; a retraining starts at more than {threshold}.")
    if _is_running(instance, model_retraining.name):
        return dg.SkipReason(f"{waiting} corrected images wait; a retraining is running.")
    # No run key: Dagster remembers those for ever, and a failed retraining must be tried again.
    failed = dg.RunsFilter(
        job_name=model_retraining.name,
        statuses=[dg.DagsterRunStatus.FAILURE],
        tags={CORRECTIONS_TAG: str(waiting)},
        created_after=datetime.now(UTC) - timedelta(days=1),
    )
    if instance.get_runs_count(failed) >= MAX_ATTEMPTS:
        return dg.SkipReason(f"Retraining on these {waiting} images failed {MAX_ATTEMPTS} times; start it by hand.")
    return dg.RunRequest(tags={CORRECTIONS_TAG: str(waiting)})


def _is_running(instance: dg.DagsterInstance, job: str) -> bool:
    return instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=UNFINISHED)) > 0


def _built_fingerprint(instance: dg.DagsterInstance) -> str | None:
    event = instance.get_latest_materialization_event(dg.AssetKey("raw_images"))
    materialization = event.asset_materialization if event else None
    if materialization is None:
        return None
    return str(materialization.metadata["source_fingerprint"].value)
