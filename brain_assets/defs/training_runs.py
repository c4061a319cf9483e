"""Runs that make a model: only one at a time may, since the newest training has one place in the bucket."""

from datetime import UTC, datetime

import dagster as dg

from brain_core.errors import TrainingError

RETRAINING_JOB = "model_retraining"
BUILD_JOB = "data_and_model_build"
REASON_TAG = "brain/reason"
"""Of a run: why it was started, a sentence for people."""

RETRAINING_TAG = "brain/retraining"
"""Of every run of `model_retraining`, whoever started it."""

MADE_LAST = dg.AssetKey("promotion")
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
ENDED_BADLY = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def unfinished_training(instance: dg.DagsterInstance) -> str | None:
    """Id of a run that waits or runs and comes to a promotion decision; None when there is none."""
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        if _makes_a_model(run):
            return run.run_id
    return None


def refuse_second_training(instance: dg.DagsterInstance, run_id: str) -> None:
    """Refuse a run while one that was created before it makes a model.

    Raises:
        TrainingError: there is such a run.
    """
    own = instance.get_run_record_by_id(run_id)
    mine = (own.create_timestamp, run_id) if own else (datetime.now(UTC), run_id)
    running = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
    for record in instance.get_run_records(running):
        other = record.dagster_run
        if _makes_a_model(other) and (record.create_timestamp, other.run_id) < mine:
            raise TrainingError(
                f"Run {other.run_id} makes a model already; two at once would take each other's weights. Its "
                "corrections are its own; those that it does not claim start the next retraining by themselves."
            )


def _makes_a_model(run: dg.DagsterRun) -> bool:
    # What `data_flow` starts belongs to a job that Dagster makes itself, with a selection.
    return run.job_name in {RETRAINING_JOB, BUILD_JOB} or MADE_LAST in (run.asset_selection or ())
