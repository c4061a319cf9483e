"""E-mails when a retraining starts; e-mails and log events when a run ends. In the replaced system: `send_email`."""

import logging

import dagster as dg

from brain_assets.defs.automation import retraining_job
from brain_assets.defs.run_mail import (
    DECISION,
    AssetReport,
    RunReport,
    asset_report,
    started_subject,
    started_text,
    subject,
    text,
)
from brain_assets.defs.training_runs import REASON_TAG
from brain_assets.resources import MailResource
from brain_core.errors import DeliveryError
from brain_core.events import configure_logging
from brain_core.setting_groups import RetrainingSettings
from brain_core.settings import load_settings

logger = logging.getLogger(__name__)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=10,
)
def success_email(context: dg.RunStatusSensorContext, mail: MailResource) -> None:
    """Sends what a run that came to a promotion decision found: metrics, decision, links. Logs every success."""
    run = context.dagster_run
    _log_end(run, "success", f"{_title(run)} succeeded")
    report = _report(context.instance, run, {})
    if DECISION in report.assets:
        _send(context, mail, report)


@dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=10)
def failure_email(context: dg.RunFailureSensorContext, mail: MailResource) -> None:
    """Sends which step of a run failed and why, with what it had found until then, and logs it."""
    run = context.dagster_run
    failures = {event.step_key or "run": _reason(event) for event in context.get_step_failure_events()}
    reasons = failures or {"run": context.failure_event.message or "no reason given"}
    _log_end(run, "failure", "; ".join(f"{step}: {reason}" for step, reason in reasons.items()))
    _send(context, mail, _report(context.instance, run, reasons))


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.STARTED,
    monitored_jobs=[retraining_job(RetrainingSettings())],
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=10,
)
def started_email(context: dg.RunStatusSensorContext, mail: MailResource) -> None:
    """Says that a retraining started, and why."""
    report = _report(context.instance, context.dagster_run, {})
    _send(context, mail, report, started_subject(report), started_text(report))


def _send(
    context: dg.RunStatusSensorContext, mail: MailResource, report: RunReport, title: str = "", body: str = ""
) -> None:
    # What the run did is kept: a mail that cannot be sent changes nothing about that.
    try:
        mail.send(title or subject(report), body or text(report))
    except DeliveryError as exc:
        context.log.error("The mail about run %s was not sent: %s", report.run_id, exc)
        fields = {"event.action": "mail", "event.outcome": "failure", "brain.run.id": report.run_id}
        logger.error("The mail was not sent: %s", exc, extra=fields)


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


def _report(instance: dg.DagsterInstance, run: dg.DagsterRun, failures: dict[str, str]) -> RunReport:
    settings = load_settings()
    return RunReport(
        job=_title(run),
        run_id=run.run_id,
        duration_s=_duration_s(instance, run.run_id),
        assets=_assets(instance, run.run_id),
        failures=failures,
        dagster_url=settings.dagster.url,
        mlflow_url=settings.mlflow.uri,
        reason=run.tags.get(REASON_TAG, ""),
    )


def _duration_s(instance: dg.DagsterInstance, run_id: str) -> float | None:
    record = instance.get_run_record_by_id(run_id)
    if record is None or record.start_time is None or record.end_time is None:
        return None
    return record.end_time - record.start_time


def _assets(instance: dg.DagsterInstance, run_id: str) -> dict[str, AssetReport]:
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    made = [record.asset_materialization for record in records]
    return {one.asset_key.to_user_string(): asset_report(one.metadata) for one in made if one is not None}
