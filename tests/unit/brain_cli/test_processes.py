import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from brain_cli.parts import RUN_MARK
from brain_cli.processes import ProcessId, is_alive, marked_processes, stop_marked, stop_processes

SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def sleeper(tmp_path) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", SLEEP], env={**os.environ, RUN_MARK: str(tmp_path)})
    yield process
    process.kill()
    process.wait()


def test_a_process_is_found_by_number_and_start_time(sleeper):
    known = ProcessId.of(sleeper.pid)
    assert known is not None
    assert known.find() == psutil.Process(sleeper.pid)


def test_a_number_that_is_used_again_is_not_the_same_process(sleeper):
    known = ProcessId.of(sleeper.pid)
    assert known is not None
    assert known.model_copy(update={"created_at": known.created_at - 3600}).find() is None


def test_what_ended_is_not_found_even_before_it_is_buried(sleeper):
    known = ProcessId.of(sleeper.pid)
    assert known is not None
    process = psutil.Process(sleeper.pid)
    process.kill()
    deadline = time.monotonic() + 10
    while is_alive(process) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.status() == psutil.STATUS_ZOMBIE
    assert known.find() is None


def test_no_process_has_no_identity():
    assert ProcessId.of(2**22 + 1) is None


def test_only_processes_with_the_mark_of_the_home_are_ours(sleeper, tmp_path):
    stranger = subprocess.Popen([sys.executable, "-c", SLEEP], env={**os.environ, RUN_MARK: str(tmp_path / "other")})
    try:
        assert [process.pid for process in marked_processes(tmp_path)] == [sleeper.pid]
        assert [process.pid for process in stop_marked(tmp_path)] == [sleeper.pid]
        assert sleeper.wait(10) != 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_program_that_runs_inside_a_platform_does_not_stop_itself(tmp_path):
    code = (
        "import pathlib; from brain_cli.processes import stop_marked\n"
        f"print(len(stop_marked(pathlib.Path({str(tmp_path)!r}))))"
    )
    parent = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {code!r}]))"
    command = [sys.executable, "-c", parent]
    environment = {**os.environ, RUN_MARK: str(tmp_path)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout.strip()) == (0, "0")


def test_what_ignores_the_signal_is_killed(tmp_path: Path):
    flag = tmp_path / "ready"
    code = f"import signal, pathlib; signal.signal(15, signal.SIG_IGN); pathlib.Path({str(flag)!r}).touch(); {SLEEP}"
    process = subprocess.Popen([sys.executable, "-c", code])
    while not flag.exists():
        assert process.poll() is None
    stop_processes([psutil.Process(process.pid)], timeout_s=0.3)
    assert process.wait(10) == -9
