import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from brain_cli.parts import Part
from brain_cli.processes import ProcessId, is_alive
from brain_cli.record import PartRecord
from brain_cli.supervisor import Supervisor, answers, is_free
from brain_core.errors import PortTaken, ProcessDied, StartupError


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server(name: str, port: int, **fields) -> Part:
    command = (sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1")
    return Part(name, command, port=port, port_setting="BRAIN_X__PORT", **fields)


def python(name: str, code: str, **fields) -> Part:
    return Part(name, (sys.executable, "-c", code), **fields)


@pytest.fixture
def supervisor(tmp_path: Path):
    supervisor = Supervisor(tmp_path / "logs", {"GREETING": "hello"})
    yield supervisor
    supervisor.stop()


def test_a_server_is_ready_when_it_answers(supervisor):
    supervisor.start(server("files", free_port()))
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
    child = psutil.Process(int(pid_file.read_text()))
    supervisor.stop()
    assert not is_alive(child)


def test_what_ignores_the_signal_is_killed(supervisor, tmp_path):
    flag = tmp_path / "ready"
    code = (
        "import signal, time, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(flag)!r}).touch(); time.sleep(60)"
    )
    supervisor.start(python("stubborn", code))
    while not flag.exists():
        supervisor.check()
    (record,) = supervisor.records()
    supervisor.stop(timeout_s=0.5)
    assert record.process.find() is None
    supervisor.check()


def test_a_part_is_started_when_those_before_it_are_ready(supervisor, tmp_path):
    wait = "import time; time.sleep(0.5); print('at work', flush=True); time.sleep(60)"
    first = python("first", wait, ready_line="at work")
    log = tmp_path / "logs" / "first.log"
    look = f"import pathlib, time; print(pathlib.Path({str(log)!r}).read_text(), flush=True); time.sleep(60)"
    second = python("second", look, ready_line="at work", after=("first",))
    changes: list[str] = []
    supervisor.start_in_order([second, first], 20, lambda part: changes.append(part.name if part else "started"))
    assert changes == ["started", "first", "started", "second"]


def test_what_keeps_others_waiting_is_named_after_the_time(supervisor):
    first = python("first", "import time; print('warming up', flush=True); time.sleep(60)", ready_line="never")
    second = python("second", "pass", after=("first",))
    with pytest.raises(StartupError, match=r"Not ready after 1 s: first\.") as caught:
        supervisor.start_in_order([first, second], 1, lambda part: None)
    assert "warming up" in str(caught.value)


def test_a_port_that_was_taken_after_the_check_names_its_setting(supervisor):
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        supervisor.start(server("files", port))
        with pytest.raises(PortTaken, match=rf"Port {port} for files is in use.*set BRAIN_X__PORT"):
            supervisor.wait_until_ready(20, lambda part: None)


def test_a_stranger_that_answers_on_the_port_does_not_count_as_ready(supervisor, tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as stranger:
        while not answers(f"http://127.0.0.1:{port}/"):
            assert stranger.poll() is None
        supervisor.start(python("idle", "import time; time.sleep(60)", port=port))
        with pytest.raises(StartupError, match="Not ready after 1 s: idle"):
            supervisor.wait_until_ready(1, lambda part: None)
        stranger.kill()


def test_a_process_that_is_killed_is_named_with_the_signal(supervisor):
    supervisor.start(python("victim", "import time; time.sleep(60)"))
    os.kill(supervisor.records()[0].process.pid, 9)
    deaths = iter(lambda: supervisor.check(), "never")
    with pytest.raises(ProcessDied, match="victim was ended by signal 9"):
        list(deaths)


def test_a_guest_that_ends_is_named_with_its_last_lines(supervisor, tmp_path):
    (tmp_path / "guest.log").write_text("disk full")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        identity = ProcessId.of(process.pid)
        assert identity is not None
        supervisor.watch(PartRecord(name="database", process=identity), tmp_path / "guest.log")
        supervisor.check()
        process.kill()
    with pytest.raises(ProcessDied, match=r"database ended(.|\n)*disk full"):
        supervisor.check()


def test_the_records_tell_what_runs(supervisor):
    url = f"http://127.0.0.1:{(port := free_port())}"
    supervisor.start(server("files", port, title="Files", ready_path="/?ok"))
    (before,) = supervisor.records()
    supervisor.wait_until_ready(20, lambda part: None)
    (after,) = supervisor.records()
    assert (before.name, before.title, before.url, before.ready_at) == ("files", "Files", url, None)
    assert after.ready_url == f"{url}/?ok"
    assert after.ready_at is not None
    assert after.process.find() is not None


def test_a_process_that_does_one_thing_is_ready_when_it_ended_well(supervisor):
    ready: list[str] = []
    once = python("once", "import time; time.sleep(0.5)", outcome="It is done")
    after = python("after", "import time; print('up', flush=True); time.sleep(60)", ready_line="up", after=("once",))
    supervisor.start_in_order([once, after], 20, lambda part: ready.append(part.name) if part else None)
    assert ready == ["once", "after"]
    supervisor.check()
    assert [record.name for record in supervisor.records()] == ["after"]


def test_a_process_that_does_one_thing_and_fails_is_named_with_its_last_lines(supervisor):
    with pytest.raises(ProcessDied, match=r"once ended with code 3(.|\n)*no room"):
        supervisor.start_in_order([python("once", "print('no room'); exit(3)", outcome="done")], 20, lambda part: None)


def test_a_log_that_grows_is_bounded_while_it_is_written(supervisor, tmp_path, monkeypatch):
    monkeypatch.setattr("brain_cli.part_logs.PartLog.bound.__defaults__", (1000,))
    supervisor.start(python("talker", "import time; print('x' * 5000, flush=True); time.sleep(60)"))
    while not (tmp_path / "logs" / "talker.log.1").exists():
        supervisor.check()
    assert (tmp_path / "logs" / "talker.log").stat().st_size <= 1000
    assert (tmp_path / "logs" / "talker.log.1").stat().st_size > 1000


def test_a_free_port_is_free():
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        assert not is_free(stranger.getsockname()[1])
    assert is_free(free_port())
