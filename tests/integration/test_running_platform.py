"""`brain up`, `brain status` and `brain down` as processes, with stand-in parts and a real PostgreSQL."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from brain_cli.embedded_postgres import leftover_server
from brain_cli.processes import is_alive, marked_processes
from brain_cli.status import look
from brain_cli.stopping import stop_platform
from brain_core.settings import load_settings
from tests.fixtures_platform import BRAIN, eventually, free_ports

RUNNING, BUILDING = "Ctrl-C stops everything", "building…"
ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Home:
    """A BRAIN_HOME and the commands on it."""

    path: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "BRAIN_HOME": str(self.path),
            "BRAIN_DAGSTER__PORT": str(self.port),
            "BRAIN_MODEL__BUNDLED": "false",
            "COLUMNS": "200",
            "PYTHONPATH": str(ROOT),
        }

    def up(self, kind: str, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.stand_in_platform", kind, "up", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, env=self.environment, text=True, cwd=ROOT, **pipes)  # type: ignore[call-overload, no-any-return]

    def brain(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([BRAIN, *arguments], env=self.environment, capture_output=True, text=True, timeout=120)

    @property
    def state(self) -> str:
        return look(load_settings(home=self.path)).state

    def processes(self) -> list[psutil.Process]:
        server = leftover_server(self.path / "postgres")
        return marked_processes(self.path) + ([psutil.Process(server.pid)] if server else [])


@pytest.fixture
def home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="up-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        home = Home(Path(folder), free_ports(("DAGSTER",))["DAGSTER"])
        yield home
        stop_platform(home.path, print)


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    """What it prints, up to the line with `text`."""
    seen = ""
    assert process.stdout is not None
    while text not in seen:
        line = process.stdout.readline()
        assert line, f"It ended with {process.wait()} before {text!r}:\n{seen}"
        seen += line
    return seen


def finish(process: "subprocess.Popen[str]", timeout_s: float = 90) -> str:
    output, _ = process.communicate(timeout=timeout_s)
    return str(output)


def test_it_runs_is_seen_and_stops_on_ctrl_c_with_exit_code_0(home):
    process = home.up("calm")
    read_until(process, RUNNING)
    status = json.loads(home.brain("status", "--json").stdout)
    assert (status["state"], status["pid"]) == ("running", process.pid)
    assert {part["name"]: part["is_ready"] for part in status["parts"]} == {
        "postgres": True,
        "dagster-webserver": True,
        "dagster-daemon": True,
    }
    ours = home.processes()
    assert len(ours) == 4
    process.send_signal(signal.SIGINT)
    assert "Stopped." in finish(process)
    assert process.returncode == 0
    assert [one for one in ours if is_alive(one)] == []
    assert home.state == "stopped"
    assert not (home.path / "platform.json").exists()


def test_down_stops_what_runs_elsewhere_and_says_what(home):
    process = home.up("calm")
    read_until(process, RUNNING)
    ours = home.processes()
    result = home.brain("down")
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == "Stopped: postgres, dagster-webserver, dagster-daemon."
    assert [one for one in ours if is_alive(one)] == []
    finish(process)
    assert process.returncode == 0


def test_once_ends_by_itself_and_leaves_nothing(home):
    process = home.up("calm", "--once")
    finish(process)
    assert process.returncode == 0
    assert home.processes() == []


def test_a_second_one_names_the_first(home):
    process = home.up("calm")
    read_until(process, RUNNING)
    result = home.brain("up")
    assert result.returncode == 1
    assert f"process {process.pid}, Dagit: http://127.0.0.1:{home.port}" in result.stderr
    assert home.state == "running"
    process.terminate()
    finish(process)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_during_the_build_stops_everything(home, number, code):
    process = home.up("building")
    read_until(process, BUILDING)
    process.send_signal(number)
    output = finish(process)
    assert process.returncode == code, output
    assert "Traceback" not in output
    assert home.processes() == []


@pytest.mark.parametrize("delay_s", [0.2, 1.2, 2.2, 3.2])
def test_ctrl_c_at_any_moment_of_the_start_leaves_nothing(home, delay_s):
    process = home.up("calm")
    read_until(process, "Brain Assets")
    time.sleep(delay_s)
    process.send_signal(signal.SIGINT)
    output = finish(process)
    assert process.returncode in {0, 130}, output
    assert "Traceback" not in output
    assert home.processes() == []


def test_more_signals_while_it_stops_leave_nothing(home):
    process = home.up("deaf")
    read_until(process, RUNNING)
    for _ in range(4):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    process.terminate()
    output = finish(process)
    assert process.returncode == 0
    assert "Already stopping" in output
    assert "Traceback" not in output
    assert home.processes() == []


def test_a_part_that_dies_is_named_with_its_last_lines_and_everything_stops(home):
    process = home.up("dying")
    output = finish(process)
    assert process.returncode == 1
    assert "dagster-daemon ended with code 7" in output
    assert "the disk is full" in output
    assert home.processes() == []


def test_the_death_of_postgresql_is_noticed_while_it_runs(home):
    process = home.up("calm")
    read_until(process, RUNNING)
    server = leftover_server(home.path / "postgres")
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    output = finish(process)
    assert process.returncode == 1
    assert "postgres ended" in output
    assert "Traceback" not in output
    assert home.processes() == []


def test_a_part_that_never_gets_ready_is_named_and_everything_stops(home):
    process = home.up("silent")
    output = finish(process)
    assert process.returncode == 1
    assert "Not ready after 3 s: dagster-daemon" in output
    assert "at work" in output
    assert home.processes() == []


def test_a_database_that_cannot_start_stops_everything(home):
    (home.path / "postgres").mkdir()
    (home.path / "postgres" / "something").write_text("in the way")
    process = home.up("calm")
    output = finish(process)
    assert process.returncode == 1
    assert "PostgreSQL did not start" in output
    assert home.state == "stopped"


def kill_platform(home: Home) -> list[psutil.Process]:
    process = home.up("calm")
    read_until(process, RUNNING)
    ours = home.processes()
    process.kill()
    finish(process)
    assert len([one for one in ours if is_alive(one)]) == 4
    return ours


def test_what_survived_the_kill_of_the_supervisor_is_seen_and_stopped_by_down(home):
    ours = kill_platform(home)
    result = home.brain("status")
    assert result.returncode == 3
    assert "A killed platform left 4 processes" in result.stdout
    result = home.brain("down")
    assert result.returncode == 0
    assert "dagster-daemon" in result.stdout
    assert [one for one in ours if is_alive(one)] == []


def test_the_next_start_stops_what_survived_the_kill_of_the_supervisor(home):
    ours = kill_platform(home)
    process = home.up("calm")
    output = read_until(process, RUNNING)
    assert "Stopped what a killed platform left: dagster-webserver" in output
    assert [one for one in ours if is_alive(one)] == []
    process.terminate()
    finish(process)
    assert home.processes() == []


def test_a_stranger_on_the_port_is_named_with_the_setting(home):
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", home.port))
        stranger.listen()
        process = home.up("calm")
        output = finish(process)
    assert process.returncode == 1
    assert "BRAIN_DAGSTER__PORT" in output
    assert not (home.path / "postgres").exists()


def test_a_closed_terminal_stops_everything(home):
    process = home.up("calm")
    read_until(process, RUNNING)
    assert process.stdout is not None
    process.stdout.close()
    process.send_signal(signal.SIGHUP)
    process.wait(90)
    eventually(lambda: not home.processes(), 10, "the end of all processes")


def test_the_logs_of_the_last_start_are_kept(home):
    for _ in range(2):
        finish(home.up("calm", "--once"))
    logs = {path.name for path in (home.path / "logs").iterdir()}
    assert {"dagster-daemon.log", "dagster-daemon.log.1"} <= logs


def test_a_long_home_works_too(home):
    deep = home.path / ("a-rather-long-name-" * 5)
    deep.mkdir()
    process = Home(deep, home.port).up("calm", "--once")
    output = finish(process)
    assert process.returncode == 0, output
    shutil.rmtree(deep)
