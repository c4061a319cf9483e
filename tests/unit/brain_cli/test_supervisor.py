import socket
import sys
from pathlib import Path

import psutil
import pytest

from brain_cli.parts import Part
from brain_cli.supervisor import Supervisor
from brain_core.errors import ProcessDied, StartupError


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def python(name: str, code: str, **fields) -> Part:
    return Part(name, (sys.executable, "-c", code), **fields)


@pytest.fixture
def supervisor(tmp_path: Path):
    supervisor = Supervisor(tmp_path / "logs", {"GREETING": "hello"})
    yield supervisor
    supervisor.stop()


def test_a_server_is_ready_when_it_answers(supervisor):
    port = free_port()
    command = (sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1")
    supervisor.start(Part("files", command, port=port))
    ready: list[str] = []
    supervisor.wait_until_ready(20, lambda part: ready.append(part.name))
    assert ready == ["files"]
    supervisor.check()


def test_a_process_that_dies_is_named_with_its_last_lines(supervisor):
    code = "import sys; [print('line', n) for n in range(40)]; sys.exit(3)"
    supervisor.start(python("fragile", code, port=free_port()))
    with pytest.raises(ProcessDied, match="fragile ended with code 3") as caught:
        supervisor.wait_until_ready(20, lambda part: None)
    assert "line 39" in str(caught.value)
    assert "line 1\n" not in str(caught.value)


def test_a_process_that_never_answers_is_named(supervisor, tmp_path):
    supervisor.start(python("silent", "import time; time.sleep(60)", port=free_port()))
    with pytest.raises(StartupError, match=r"Not ready after 1 s: silent\. The logs are in"):
        supervisor.wait_until_ready(1, lambda part: None)


def test_a_program_that_does_not_exist_says_what_to_do(supervisor):
    with pytest.raises(StartupError, match="make install"):
        supervisor.start(Part("ghost", ("/nowhere/ghost",)))


def test_the_environment_reaches_the_process(supervisor, tmp_path):
    supervisor.start(
        python("env", "import os; print(os.environ['GREETING'], os.environ['OWN'])", environment={"OWN": "x"})
    )
    deaths = iter(lambda: supervisor.check(), "never")
    with pytest.raises(ProcessDied, match="hello x"):
        list(deaths)


def test_stopping_ends_children_of_children(supervisor, tmp_path):
    pid_file = tmp_path / "pid"
    code = (
        "import subprocess, sys, pathlib, time; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        f"pathlib.Path({str(pid_file)!r}).write_text(str(child.pid)); time.sleep(60)"
    )
    supervisor.start(python("parent", code))
    while not pid_file.exists() or not pid_file.read_text():
        supervisor.check()
    supervisor.stop()
    assert not psutil.pid_exists(int(pid_file.read_text()))


def test_what_ignores_the_signal_is_killed(supervisor, monkeypatch, tmp_path):
    monkeypatch.setattr("brain_cli.supervisor.STOP_TIMEOUT_S", 0.5)
    flag = tmp_path / "ready"
    code = (
        "import signal, time, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(flag)!r}).touch(); time.sleep(60)"
    )
    supervisor.start(python("stubborn", code))
    while not flag.exists():
        supervisor.check()
    supervisor.stop()
    assert not [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE and "stubborn" in p.name()]
    supervisor.check()
