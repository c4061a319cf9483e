import email
import email.policy
import json
import socket
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message

from brain_assets.defs.notifications import failure_email, started_email, success_email
from brain_assets.defs.training_runs import REASON_TAG
from brain_assets.metadata import table
from brain_assets.resources import MailResource
from brain_core.labels import NOTICE


@dg.asset
def promotion() -> dg.MaterializeResult[None]:
    rules = pd.DataFrame([{"name": "ONNX = Keras", "value": "1e-07", "limit": "at most 1e-04", "passed": True}])
    return dg.MaterializeResult(metadata={"version": "7", "decision": "promoted", "rules": table(rules)})


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
    files = [path.read_bytes() for path in sorted((home / "outbox").glob("*.eml"))]
    messages = [email.message_from_bytes(data, policy=email.policy.default) for data in files]
    return [f"{message['Subject']}\n{message.get_content()}".replace("\r\n", "\n") for message in messages]


def events(home: Path) -> list[dict]:
    return [json.loads(line) for path in (home / "spool").glob("*.ndjson") for line in path.read_text().splitlines()]


def test_a_run_that_came_to_a_decision_is_mailed_about_and_logged(home):
    end(promotion, "data_and_model_build")
    (mail,) = mails(home)
    assert mail.startswith(
        "Brain Assets: data_and_model_build succeeded: promoted\ndata_and_model_build succeeded after "
    )
    assert "What was made\n  promotion" in mail
    assert "decision: promoted" in mail
    assert "ONNX = Keras  1e-07  at most 1e-04  yes" in mail
    assert "brain-tumor-classifier/versions/7" in mail
    assert NOTICE in mail
    (event,) = events(home)
    assert (event["event"]["outcome"], event["brain"]["run"]["job"]) == ("success", "data_and_model_build")


def start(tags: dict[str, str]) -> None:
    """Let the sensor see the start of a retraining."""
    job = dg.define_asset_job("model_retraining", selection=[promotion], tags=tags)
    definitions = dg.Definitions(assets=[promotion], jobs=[job])
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def("model_retraining").execute_in_process(instance=instance)
        event = next(e for e in result.all_events if e.event_type == dg.DagsterEventType.RUN_START)
        context = dg.build_run_status_sensor_context("started_email", event, instance, result.dagster_run)
        started_email(context, mail=MailResource())


def test_the_start_of_a_retraining_is_mailed_about_with_its_reason(home):
    start({REASON_TAG: "51 corrected images wait, more than 50; attempt 1 for these."})
    (mail,) = mails(home)
    assert mail.startswith("Brain Assets: model_retraining started\nmodel_retraining started. 51 corrected images wait")
    assert "until then, and otherwise, the champion answers on" in " ".join(mail.split())
    assert "/runs/" in mail
    assert NOTICE in mail


def test_a_retraining_that_a_person_launched_says_so(home):
    start({})
    assert "It was launched by hand." in mails(home)[0]


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


def logged(home: Path, action: str) -> list[dict]:
    return [event for event in events(home) if event.get("event", {}).get("action") == action]


@pytest.mark.parametrize(("asset", "outcome"), [(promotion, "success"), (broken, "failure")])
def test_a_mail_that_cannot_be_sent_fails_nothing_and_is_logged(home, monkeypatch, asset, outcome):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("BRAIN_MAIL__SMTP_HOST", "127.0.0.1")
        monkeypatch.setenv("BRAIN_MAIL__SMTP_PORT", str(probe.getsockname()[1]))
        end(asset, "data_and_model_build")
    assert [event["event"]["outcome"] for event in logged(home, "run")] == [outcome]
    (event,) = logged(home, "mail")
    assert event["event"]["outcome"] == "failure"
    assert "did not take 'Brain Assets: data_and_model_build" in event["message"]


def test_a_full_outbox_fails_nothing(home):
    (home / "outbox").write_text("a file in the way")
    end(promotion, "data_and_model_build")
    assert len(logged(home, "mail")) == 1


class Inbox(Message):
    """Keeps what arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: list = []

    def handle_message(self, message) -> None:
        self.arrived.append(message)


def test_the_decision_reaches_a_real_mail_server(home, monkeypatch):
    inbox = Inbox()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Controller(inbox, hostname="127.0.0.1", port=port)
    server.start()
    try:
        for name, value in {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(port), "SMTP_TLS": "false"}.items():
            monkeypatch.setenv(f"BRAIN_MAIL__{name}", value)
        end(promotion, "model_retraining")
    finally:
        server.stop()
    (message,) = inbox.arrived
    assert message["Subject"] == "Brain Assets: model_retraining succeeded: promoted"
    assert "ONNX = Keras" in message.get_payload(decode=True).decode()
    assert mails(home) == []
