"""E-mails and log events when a run ends. In the replaced system: `send_email`."""

import logging
from typing import Any

import dagster as dg

from brain_assets.resources import MailResource
from brain_core.events import configure_logging
from brain_core.settings import load_settings

DECISION = "promotion"
"""A run that made this asset is mailed about when it succeeds; every run is when it fails."""

logger = logging.getLogger(__name__)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=10,
)
def success_email(context: dg.RunStatusSensorContext, mail: MailResource) -> None:
    """Sends what a run that came to a promotion decision found: metrics, decision, links. Logs every success."""
    run, metadata = context.dagster_run, _metadata(context.instance, context.dagster_run.run_id)
    _log_end(run, "success", f"{_title(run)} succeeded")
    if DECISION in metadata:
        body = success_text(_title(run), run.run_id, metadata)
        mail.send(f"Brain Assets: {_title(run)} succeeded", body)


@dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=10)
def failure_email(context: dg.RunFailureSensorContext, mail: MailResource) -> None:
    """Sends which step of a run failed and why, and logs it."""
    run = context.dagster_run
    failures = {event.step_key or "run": _reason(event) for event in context.get_step_failure_events()}
    reasons = failures or {"run": context.failure_event.message or "no reason given"}
    _log_end(run, "failure", "; ".join(f"{step}: {reason}" for step, reason in reasons.items()))
    mail.send(f"Brain Assets: {_title(run)} FAILED", failure_text(_title(run), run.run_id, reasons))


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


def _title(run: dg.DagsterRun) -> str:
    # Runs of declarative automation belong to a job that Dagster makes itself.
    return "data_flow" if run.job_name.startswith("__") else run.job_name


def _reason(event: dg.DagsterEvent) -> str:
    # The outer error says only that a step failed; its cause says why.
    error = event.step_failure_data.error
    innermost = error.cause if error and error.cause else error
    return (innermost.message if innermost else event.message or "no reason given").strip()


def _log_end(run: dg.DagsterRun, outcome: str, message: str) -> None:
    configure_logging(load_settings(), "pipeline", to_stdout=False)
    fields = {"event.action": "run", "event.outcome": outcome, "brain.run.id": run.run_id, "brain.run.job": _title(run)}
    logger.log(logging.INFO if outcome == "success" else logging.ERROR, message, extra=fields)


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
