import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, text

from brain_cli import embedded_postgres as module
from brain_cli.embedded_postgres import DATABASES, embedded_postgres, leftover_server, stop_leftover_server
from brain_cli.interrupts import StopRequested, stop_on_signals
from brain_core.errors import StartupError
from brain_core.settings import sqlalchemy_url


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp", ignore_cleanup_errors=True) as path:
        yield Path(path) / "data"


def test_three_databases_are_made_and_kept_over_a_restart(folder):
    with embedded_postgres(folder) as server:
        assert set(server.urls) == set(DATABASES)
        engine = create_engine(sqlalchemy_url(server.urls["brain"]))
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE kept (n int)"))
        engine.dispose()
    with embedded_postgres(folder) as server:
        engine = create_engine(sqlalchemy_url(server.urls["brain"]))
        with engine.begin() as connection:
            assert connection.scalar(text("SELECT count(*) FROM kept")) == 0
        engine.dispose()


def test_it_listens_on_no_network_address(folder):
    with embedded_postgres(folder) as server:
        engine = create_engine(sqlalchemy_url(server.urls["brain"]))
        with engine.connect() as connection:
            assert connection.scalar(text("SHOW listen_addresses")) == ""
        engine.dispose()


def test_a_damaged_folder_is_an_error_of_ours(folder):
    folder.mkdir()
    (folder / "something").write_text("in the way")
    with pytest.raises(StartupError, match="PostgreSQL did not start"), embedded_postgres(folder):
        pytest.fail("started")


KILLED = """
import os, pathlib, sys
from brain_cli.embedded_postgres import embedded_postgres
with embedded_postgres(pathlib.Path(sys.argv[1])) as server:
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def left_by_a_killed_program(folder):
    result = subprocess.run([sys.executable, "-c", KILLED, str(folder)], timeout=120)
    assert result.returncode == -9
    yield folder
    stop_leftover_server(folder)


def test_a_signal_that_comes_while_it_starts_stops_it(folder, monkeypatch):
    monkeypatch.setattr(module, "_forget_the_dead", lambda _folder: signal.raise_signal(signal.SIGINT))
    with pytest.raises(StopRequested), stop_on_signals(lambda: None), embedded_postgres(folder):
        pytest.fail("started")
    assert leftover_server(folder) is None


def test_nothing_is_left_where_nothing_ran(folder):
    assert leftover_server(folder) is None
    assert stop_leftover_server(folder) is None


def test_a_server_that_a_killed_program_left_is_found_and_stopped(left_by_a_killed_program):
    left = leftover_server(left_by_a_killed_program)
    assert left is not None
    assert stop_leftover_server(left_by_a_killed_program) == left
    assert left.find() is None


def test_a_server_that_a_killed_program_left_is_taken_over_and_stopped_in_the_end(left_by_a_killed_program):
    left = leftover_server(left_by_a_killed_program)
    with embedded_postgres(left_by_a_killed_program) as server:
        assert left is not None
        assert server.process.pid == left.pid
    assert left.find() is None


def test_the_number_of_a_stranger_in_the_pid_file_does_no_harm(folder):
    with embedded_postgres(folder):
        lines = (folder / "postmaster.pid").read_text().splitlines()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        (folder / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:2], "1000000000", *lines[3:]]))
        (folder / ".handle_pids.json").write_text(json.dumps([stranger.pid]))
        assert leftover_server(folder) is None
        with embedded_postgres(folder) as server:
            assert server.process.pid != stranger.pid
        assert stranger.poll() is None
        assert server.process.find() is None
        stranger.kill()


def test_a_pid_file_that_was_cut_off_does_no_harm(folder):
    with embedded_postgres(folder):
        pass
    (folder / "postmaster.pid").write_text("12")
    with embedded_postgres(folder) as server:
        assert psutil.pid_exists(server.process.pid)


def test_a_crash_of_the_server_itself_is_repaired(folder):
    with embedded_postgres(folder) as server:
        os.kill(server.process.pid, 9)
        psutil.wait_procs([psutil.Process(server.process.pid)], timeout=0)
    with embedded_postgres(folder) as server:
        engine = create_engine(sqlalchemy_url(server.urls["brain"]))
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
        engine.dispose()
