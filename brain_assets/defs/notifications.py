"""E-mails when a build or a retraining ends. In the replaced system: `send_email`."""

from typing import Any

import dagster as dg

from brain_assets.defs.automation import data_and_model_build, model_retraining
from brain_assets.resources import MailResource
from brain_core.settings import load_settings

REPORTED_JOBS = [data_and_model_build, model_retraining]


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=REPORTED_JOBS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=10,
)
def success_email(context: dg.RunStatusSensorContext, mail: MailResource) -> None:
    """Sends what a successful run found: metrics, decision, links."""
    run = context.dagster_run
    body = success_text(run.job_name, run.run_id, _metadata(context.instance, run.run_id))
    mail.send(f"Brain Assets: {run.job_name} succeeded", body)


@dg.run_failure_sensor(
    monitored_jobs=REPORTED_JOBS, default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=10
)
def failure_email(context: dg.RunFailureSensorContext, mail: MailResource) -> None:
    """Sends which step failed and why."""
    run = context.dagster_run
    failures = {event.step_key or "run": event.message or "" for event in context.get_step_failure_events()}
    reasons = failures or {"run": context.failure_event.message or "no reason given"}
    mail.send(f"Brain Assets: {run.job_name} FAILED", failure_text(run.job_name, run.run_id, reasons))


def success_text(job: str, run_id: str, metadata: dict[str, dict[str, Any]]) -> str:
    """The mail's text: the figures of the evaluation and of the decision, and where to look."""
    lines = [f"{job} succeeded.", ""]
    for asset in ("model_evaluation", "promotion"):
        if asset in metadata:
            lines += [asset, *(f"  {name}: {value}" for name, value in metadata[asset].items()), ""]
    return "\n".join([*lines, *_links(run_id)])


def failure_text(job: str, run_id: str, reasons: dict[str, str]) -> str:
    """The mail's text: each step that failed with its reason, and where to look."""
    lines = [f"{job} failed. What was there before stays in use.", ""]
    lines += [f"{step}: {reason}" for step, reason in reasons.items()]
    return "\n".join([*lines, "", *_links(run_id)])


def _links(run_id: str) -> list[str]:
    settings = load_settings()
    return [f"Run: {settings.dagster.url}/runs/{run_id}", f"Models: {settings.mlflow.uri}"]


def _metadata(instance: dg.DagsterInstance, run_id: str) -> dict[str, dict[str, Any]]:
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        materialization = record.asset_materialization
        if materialization is not None:
            found[materialization.asset_key.to_user_string()] = {
                name: entry.value
                for name, entry in materialization.metadata.items()
                if isinstance(entry.value, (int, float, str)) and len(str(entry.value)) < 500
            }
    return found
