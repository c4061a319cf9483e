"""When what is materialised: jobs, sensors, schedules."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from brain_assets.defs.baseline import BASELINE_GROUP, baseline_job
from brain_assets.defs.champion_alias import champion_alias_sensor
from brain_assets.defs.erasure import erasure_sensor
from brain_assets.defs.ingestion import batches
from brain_assets.defs.promotion_requests import promotion_request_sensor
from brain_assets.defs.shadowing import shadow_sensor_for
from brain_assets.defs.training_runs import (
    ENDED_BADLY,
    REASON_TAG,
    RETRAINING_JOB,
    RETRAINING_TAG,
    UNFINISHED,
    unfinished_training,
)
from brain_assets.resources import BucketResource, DatabaseResource, SourceResource
from brain_core.errors import BrainError
from brain_core.setting_groups import RetrainingSettings
from brain_core.settings import Settings

if TYPE_CHECKING:
    # Dagster's public names lack it.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

    from brain_assets.ml.batches import Plan
    from brain_core.corrections import Waiting

MAX_ATTEMPTS = 3
"""A batch, or a retraining for the same corrections, that fails so often in a day waits for a person."""

BATCHES_NAMED = 3
"""In the reason why no batch is read; the others are counted."""

BATCH = "batch"
LAST_OF_BATCH = dg.AssetKey("image_statistics")
PARTITION_TAG = "dagster/partition"

CORRECTIONS_TAG = "brain/corrections"
"""Of a run of the sensor: names the corrections that it was started for."""

batch_assets = dg.AssetSelection.assets("raw_images", "image_statistics")
monitoring_assets = dg.AssetSelection.groups("monitoring")
baseline_assets = dg.AssetSelection.groups(BASELINE_GROUP)
build_assets = dg.AssetSelection.all() - batch_assets - monitoring_assets - baseline_assets

ingest_batch = dg.define_asset_job(
    "ingest_batch", selection=batch_assets, description="One batch of new images: into the bucket, and its statistics."
)
data_and_model_build = dg.define_asset_job(
    "data_and_model_build", selection=build_assets, description="From the manifest to the promotion decision."
)
monitoring = dg.define_asset_job(
    "monitoring", selection=monitoring_assets, description="Reference profile, recent predictions and drift report."
)

data_flow = dg.AutomationConditionSensorDefinition(
    "data_flow",
    target=build_assets,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="New data flows down by itself, and stops at a blocking check that failed.",
)

monitoring_daily = dg.ScheduleDefinition(
    name="monitoring_daily",
    job=monitoring,
    cron_schedule="0 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night at 3:00 UTC.",
)


def jobs(settings: Settings) -> "list[UnresolvedAssetJobDefinition]":
    """The jobs; a retraining has the parameters of the settings, which the launch pad shows and may change."""
    return [ingest_batch, data_and_model_build, retraining_job(settings.retraining), monitoring, baseline_job]


def retraining_job(settings: RetrainingSettings) -> "UnresolvedAssetJobDefinition":
    """`model_retraining`, which trains as the settings say unless a launch says otherwise."""
    training = settings.model_dump(include={"epochs", "min_steps"}, exclude_none=True)
    weighting = settings.model_dump(include={"feedback_weight"})
    return dg.define_asset_job(
        RETRAINING_JOB,
        selection=dg.AssetSelection.assets("feedback_set").downstream() - monitoring_assets - baseline_assets,
        config={"ops": {"training_set": {"config": weighting}, "trained_model": {"config": training}}},
        tags={RETRAINING_TAG: "true"},
        description="The same assets again from the feedback down. In the replaced system: `retrain_model`.",
    )


def automation(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensors, with the intervals and the threshold of the settings."""
    return [
        _source_sensor(settings),
        data_flow,
        _feedback_threshold_sensor(settings),
        champion_alias_sensor,
        promotion_request_sensor,
        erasure_sensor,
        shadow_sensor_for(settings),
    ]


def _source_sensor(settings: Settings) -> dg.SensorDefinition:
    @dg.sensor(
        job=ingest_batch,
        minimum_interval_seconds=settings.source.sensor_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def source_sensor(
        context: dg.SensorEvaluationContext, source: SourceResource, bucket: BucketResource
    ) -> dg.SensorResult:
        """Reads what is new in the source, batch by batch. In the replaced system: `check_source`."""
        from brain_assets.ml.batches import kept_batches, plan_batches

        try:
            plan, kept = plan_batches(source.open(), bucket.data(), source.batch_size), kept_batches(bucket.data())
        except BrainError as exc:
            return dg.SensorResult(skip_reason=f"The source cannot be used, tried again later: {exc}")
        return _ingestion_requests(context, plan, kept)

    return source_sensor


def _ingestion_requests(context: dg.SensorEvaluationContext, plan: "Plan", kept: set[str]) -> dg.SensorResult:
    instance = context.instance
    known = set(instance.get_dynamic_partitions(BATCH))
    # What Dagster remembers may have gone into another bucket.
    done = instance.get_materialized_partitions(LAST_OF_BATCH) & kept
    waiting = [batch for batch in plan.batches if batch not in done]
    running = [batch for batch in waiting if _is_running(instance, ingest_batch.name, {PARTITION_TAG: batch})]
    failed = [batch for batch in waiting if batch not in running and _failed_too_often(instance, batch)]
    # No run key: Dagster remembers those for ever, and a batch that failed must be tried again.
    requests = [dg.RunRequest(partition_key=batch) for batch in waiting if batch not in {*running, *failed}]
    # A batch that was replaced before it was ever read would be missing for ever.
    dropped = sorted(known - set(plan.batches) - done)
    changes = [batches.build_add_request([batch for batch in plan.batches if batch not in known])]
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else _why_none(instance, plan, running, failed),
        dynamic_partitions_requests=[*changes, batches.build_delete_request(dropped)],
        asset_events=[] if context.cursor == plan.fingerprint else [_observation(plan)],
        cursor=plan.fingerprint,
    )


def _observation(plan: "Plan") -> dg.AssetObservation:
    counts = {"images": plan.images, "new_images": plan.new_images, "removed_images": plan.removed_images}
    return dg.AssetObservation("source_images", metadata=counts, tags={"dagster/data_version": plan.fingerprint})


def _failed_too_often(instance: dg.DagsterInstance, batch: str) -> bool:
    return _recent_failures(instance, ingest_batch.name, {PARTITION_TAG: batch}) >= MAX_ATTEMPTS


def _why_none(instance: dg.DagsterInstance, plan: "Plan", running: Sequence[str], failed: Sequence[str]) -> str:
    reasons = [f"being read: {_batches(running)}"] if running else []
    if failed:
        reasons.append(
            f"failed {MAX_ATTEMPTS} times within a day: {_batches(failed)}, the last time with: "
            f"{_last_failure(instance, failed[0])} "
            f"Remove the cause, then launch `{ingest_batch.name}` for the batch in Dagit, or wait a day"
        )
    return f"{plan.images} images in the source; {'; '.join(reasons) or 'nothing is new'}."


def _batches(names: Sequence[str]) -> str:
    more = f" and {len(names) - BATCHES_NAMED} more" if len(names) > BATCHES_NAMED else ""
    return f"{'batches' if len(names) > 1 else 'batch'} {', '.join(names[:BATCHES_NAMED])}{more}"


def _last_failure(instance: dg.DagsterInstance, batch: str) -> str:
    failed = dg.RunsFilter(
        job_name=ingest_batch.name, statuses=[dg.DagsterRunStatus.FAILURE], tags={PARTITION_TAG: batch}
    )
    for run in instance.get_runs(failed, limit=1):
        for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
            error = entry.get_dagster_event().step_failure_data.error
            # The outer error says only that a step failed; its cause says why.
            if innermost := error and (error.cause or error):
                return innermost.message.strip()
    return "no reason that Dagster knows, see its last run."


def _feedback_threshold_sensor(settings: Settings) -> dg.SensorDefinition:
    threshold = settings.feedback.threshold

    @dg.sensor(
        job_name=RETRAINING_JOB,
        minimum_interval_seconds=settings.feedback.sensor_interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def feedback_threshold_sensor(
        context: dg.SensorEvaluationContext, database: DatabaseResource
    ) -> dg.RunRequest | dg.SkipReason:
        """Retrains when more corrections wait than the threshold. In the replaced system: `flag_true`, `flag_false`."""
        from brain_core.corrections import CorrectionStore

        # Before the corrections are counted: a retraining that ends in between has claimed its own by then.
        running = unfinished_training(context.instance)
        try:
            with database.engine() as engine:
                waiting = CorrectionStore(engine).waiting()
        except BrainError as exc:
            return dg.SkipReason(f"The feedback cannot be read, tried again later: {exc}")
        return _retraining_request(context.instance, waiting, threshold, running)

    return feedback_threshold_sensor


def _retraining_request(
    instance: dg.DagsterInstance, waiting: "Waiting", threshold: int, running: str | None
) -> dg.RunRequest | dg.SkipReason:
    found = f"{waiting.images} corrected images wait"
    if waiting.images <= threshold:
        return dg.SkipReason(f"{found}; a retraining starts at more than {threshold}.")
    if running is not None:
        return dg.SkipReason(f"{found}; run {running} makes a model already.")
    tags = {CORRECTIONS_TAG: waiting.key}
    if _recent_failures(instance, RETRAINING_JOB, tags, ENDED_BADLY) >= MAX_ATTEMPTS:
        return dg.SkipReason(
            f"Retraining on these {waiting.images} images failed {MAX_ATTEMPTS} times within a day. Remove the cause, "
            f"then launch `{RETRAINING_JOB}` in Dagit; or wait a day, or for another correction."
        )
    attempt = 1 + instance.get_runs_count(dg.RunsFilter(job_name=RETRAINING_JOB, statuses=ENDED_BADLY, tags=tags))
    reason = f"{found}, more than {threshold}; attempt {attempt} for these."
    # Whatever interrupts the daemon: for the same corrections and the same attempt there is one run, for ever.
    return dg.RunRequest(run_key=f"{waiting.key}-{attempt}", tags={**tags, REASON_TAG: reason})


def _is_running(instance: dg.DagsterInstance, job: str, tags: dict[str, str] | None = None) -> bool:
    return instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=UNFINISHED, tags=tags)) > 0


def _recent_failures(
    instance: dg.DagsterInstance,
    job: str,
    tags: dict[str, str],
    statuses: Sequence[dg.DagsterRunStatus] = (dg.DagsterRunStatus.FAILURE,),
) -> int:
    since = _now() - timedelta(days=1)
    failed = dg.RunsFilter(job_name=job, statuses=list(statuses), tags=tags, created_after=since)
    return instance.get_runs_count(failed)


def _now() -> datetime:
    return datetime.now(UTC)
