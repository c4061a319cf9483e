import json
from pathlib import Path

import dagster as dg
import pytest

from brain_assets.defs.notifications import failure_email, failure_text, success_email, success_text
from brain_assets.resources import MailResource


@dg.asset
def promotion() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"decision": "promoted"})


@dg.asset
def raw_images() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"rows": 3})


@dg.asset
def broken() -> None:
    raise ValueError("the disk is full")


@pytest.fixture
def home(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("BRAIN_HOME", str(tmp_path))
    return tmp_path


def end(asset: dg.AssetsDefinition, job: str) -> None:
    """Run a job of one asset and let the sensor see its end."""
    definitions = dg.Definitions(assets=[asset], jobs=[dg.define_asset_job(job, selection=[asset])])
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False)
        if result.success:
            event = result.get_run_success_event()
            context = dg.build_run_status_sensor_context("success_email", event, instance, result.dagster_run)
            success_email(context, mail=MailResource())
        else:
            event = result.get_run_failure_event()
            context = dg.build_run_status_sensor_context("failure_email", event, instance, result.dagster_run)
            failure_email(context.for_run_failure(), mail=MailResource())


def mails(home: Path) -> list[str]:
    return [path.read_bytes().decode() for path in sorted((home / "outbox").glob("*.eml"))]


def events(home: Path) -> list[dict]:
    return [json.loads(line) for path in (home / "spool").glob("*.ndjson") for line in path.read_text().splitlines()]


def test_a_run_that_came_to_a_decision_is_mailed_about_and_logged(home):
    end(promotion, "data_and_model_build")
    (mail,) = mails(home)
    assert "data_and_model_build succeeded" in mail
    assert "decision: promoted" in mail
    (event,) = events(home)
    assert (event["event"]["outcome"], event["brain"]["run"]["job"]) == ("success", "data_and_model_build")


def test_a_run_of_declarative_automation_is_called_by_the_name_of_its_sensor(home):
    end(promotion, "__anonymous")
    assert "data_flow succeeded" in mails(home)[0]


def test_a_run_without_a_decision_is_only_logged(home):
    end(raw_images, "ingest_batch")
    assert mails(home) == []
    assert len(events(home)) == 1


def test_a_run_that_failed_is_mailed_about_with_its_step_and_reason_and_logged(home):
    end(broken, "ingest_batch")
    (mail,) = mails(home)
    assert "ingest_batch FAILED" in mail
    assert "the disk is full" in mail
    (event,) = events(home)
    assert event["event"]["outcome"] == "failure"
    assert "broken: " in event["message"]


def test_the_success_mail_has_the_figures_the_decision_and_the_links():
    metadata = {"model_evaluation": {"accuracy": 0.9}, "promotion": {"decision": "promoted"}, "histograms": {"rows": 4}}
    text = success_text("data_and_model_build", "run-1", metadata)
    assert "data_and_model_build succeeded" in text
    assert "accuracy: 0.9" in text
    assert "decision: promoted" in text
    assert "rows" not in text
    assert "/runs/run-1" in text


def test_the_failure_mail_names_each_step_with_its_reason():
    text = failure_text("model_retraining", "run-2", {"trained_model": "The loss became nan."})
    assert "trained_model: The loss became nan." in text
    assert "stays in use" in text
