import subprocess
import sys

import pytest

from brain_cli.part_logs import PartLog


@pytest.fixture
def log(tmp_path):
    return PartLog(tmp_path / "logs" / "part.log")


def write(log: PartLog, text: str) -> None:
    with log.open() as file:
        file.write(text.encode())


def test_each_start_begins_a_new_log_and_keeps_the_one_before(log):
    write(log, "first")
    write(log, "second")
    write(log, "third")
    assert log.path.read_text() == "third"
    assert log.former.read_text() == "second"


def test_a_log_that_grows_while_it_is_written_stays_bounded(log):
    code = "import time\nfor n in range(400): print('x' * 999, flush=True); time.sleep(0.001)"
    with log.open() as file:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=file)
    while process.poll() is None:
        log.bound(max_bytes=50_000)
    log.bound(max_bytes=50_000)
    assert log.path.stat().st_size <= 50_000
    assert b"\0" not in log.path.read_bytes()
    assert 50_000 < log.former.stat().st_size < 400_000


def test_a_small_log_is_left_alone(log):
    write(log, "short")
    log.bound()
    assert log.path.read_text() == "short"
    assert not log.former.exists()


def test_the_last_lines_are_the_newest(log):
    write(log, "\n".join(f"line {n}" for n in range(30_000)))
    lines = log.last_lines().splitlines()
    assert len(lines) == 15
    assert lines[-1] == "  line 29999"


def test_no_output_is_said_so(log):
    assert log.last_lines() == "  (no output)"
    write(log, "")
    assert log.last_lines() == "  (no output)"


def test_a_line_is_found(log):
    assert not log.holds("ready")
    write(log, "now ready for work")
    assert log.holds("ready")
    assert not log.holds("broken")
