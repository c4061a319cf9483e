import os
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from brain_cli.addresses import running_settings
from brain_cli.embedded_postgres import embedded_postgres
from brain_cli.processes import ProcessId
from brain_cli.record import PartRecord, PlatformRecord, write_record
from brain_core.settings import Settings, load_settings

MLFLOW = "http://127.0.0.1:5999"


@pytest.fixture
def settings(tmp_path) -> Settings:
    return load_settings(
        home=tmp_path, mlflow={"uri": "http://elsewhere"}, database={"url": "postgresql://elsewhere/brain"}
    )


def record(home: Path, supervisor: ProcessId) -> None:
    own = ProcessId.of(os.getpid())
    assert own is not None
    write_record(
        home,
        PlatformRecord(
            supervisor=supervisor, parts=(PartRecord(name="mlflow", process=own, title="MLflow", url=MLFLOW),)
        ),
    )


def this_process() -> ProcessId:
    found = ProcessId.of(os.getpid())
    assert found is not None
    return found


def test_where_no_platform_runs_the_settings_hold(settings):
    assert running_settings(settings) is settings


def test_what_a_platform_that_ended_wrote_is_not_believed(settings):
    record(settings.home_path, ProcessId(pid=this_process().pid, created_at=1.0))
    assert running_settings(settings) is settings


def test_a_platform_without_a_database_yet_is_found_at_its_mlflow(settings):
    record(settings.home_path, this_process())
    found = running_settings(settings)
    assert found.mlflow.uri == MLFLOW
    assert found.database_url == settings.database_url


def test_a_file_that_is_not_whole_is_no_database(settings):
    record(settings.home_path, this_process())
    (settings.home_path / "postgres").mkdir()
    started = round(this_process().created_at)
    (settings.home_path / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\nx\n{started}\n")
    assert running_settings(settings).database_url == settings.database_url


def test_the_database_of_a_running_platform_answers(settings):
    with embedded_postgres(settings.home_path / "postgres"):
        record(settings.home_path, this_process())
        engine = create_engine(running_settings(settings).database_url)
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT current_database()")) == "brain"
        engine.dispose()
