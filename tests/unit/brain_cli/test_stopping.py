import os
import subprocess
import sys

import pytest

from brain_cli.parts import RUN_MARK
from brain_cli.processes import ProcessId
from brain_cli.record import PartRecord, PlatformRecord, write_record
from brain_cli.stopping import stop_platform


def sleeper(code: str = "", **environment: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", f"{code}\nimport time; print(flush=True); time.sleep(60)"],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
    )


@pytest.fixture
def killed_afterwards():
    processes: list[subprocess.Popen[bytes]] = []
    yield processes.append
    for process in processes:
        process.kill()
        process.communicate()


def identity(process: "subprocess.Popen[bytes]") -> ProcessId:
    assert process.stdout is not None
    process.stdout.readline()
    found = ProcessId.of(process.pid)
    assert found is not None
    return found


def test_nothing_to_stop_is_no_error_and_leaves_no_trace(tmp_path):
    assert stop_platform(tmp_path, print) == []
    assert stop_platform(tmp_path / "absent", print) == []
    assert not (tmp_path / "absent").exists()


def test_the_supervisor_is_asked_to_stop_and_waited_for(tmp_path, killed_afterwards):
    killed_afterwards(process := sleeper())
    supervisor = identity(process)
    part = PartRecord(name="dagster-daemon", process=ProcessId(pid=1, created_at=1.0))
    write_record(tmp_path, PlatformRecord(supervisor=supervisor, phase="running", parts=(part,)))
    said: list[str] = []
    assert stop_platform(tmp_path, said.append) == ["dagster-daemon"]
    assert supervisor.find() is None
    assert said == [f"Stopping the platform (process {process.pid})…"]
    assert not (tmp_path / "platform.json").exists()


def test_a_supervisor_that_does_not_stop_is_killed_with_its_parts(tmp_path, killed_afterwards):
    killed_afterwards(stubborn := sleeper("import signal; signal.signal(15, signal.SIG_IGN)"))
    killed_afterwards(child := sleeper(**{RUN_MARK: str(tmp_path)}))
    supervisor, part = identity(stubborn), identity(child)
    record = PlatformRecord(supervisor=supervisor, parts=(PartRecord(name="mlflow", process=part),))
    write_record(tmp_path, record)
    said: list[str] = []
    assert stop_platform(tmp_path, said.append, timeout_s=0.5) == ["mlflow"]
    assert (supervisor.find(), part.find()) == (None, None)
    assert "is killed" in said[-1]


def test_a_stranger_with_the_number_of_the_supervisor_is_left_alone(tmp_path, killed_afterwards):
    killed_afterwards(stranger := sleeper())
    known = identity(stranger)
    write_record(tmp_path, PlatformRecord(supervisor=known.model_copy(update={"created_at": 1.0})))
    assert stop_platform(tmp_path, print) == []
    assert known.find() is not None
