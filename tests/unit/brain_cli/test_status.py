import os
import subprocess
import sys

import pytest

from brain_cli.parts import RUN_MARK
from brain_cli.processes import ProcessId
from brain_cli.record import PartRecord, PlatformRecord, write_record
from brain_cli.status import look
from brain_core.settings import load_settings
from tests.fixtures_platform import free_ports

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def this() -> ProcessId:
    found = ProcessId.of(os.getpid())
    assert found is not None
    return found


def test_nothing_runs_where_nothing_was_started(tmp_path):
    status = look(load_settings(home=tmp_path))
    assert (status.state, status.exit_code, status.parts, status.leftovers) == ("stopped", 3, (), ())
    assert list(tmp_path.iterdir()) == []


def test_each_part_is_looked_at_now(tmp_path, this):
    away = f"http://127.0.0.1:{free_ports(('X',))['X']}/"
    parts = (
        PartRecord(name="worker", process=this, ready_at=1.0),
        PartRecord(name="starting", process=this),
        PartRecord(name="away", process=this, ready_url=away, ready_at=1.0),
        PartRecord(name="dead", process=ProcessId(pid=os.getpid(), created_at=1.0), ready_at=1.0),
    )
    write_record(tmp_path, PlatformRecord(supervisor=this, phase="running", parts=parts))
    status = look(load_settings(home=tmp_path))
    assert (status.state, status.exit_code, status.pid) == ("running", 0, os.getpid())
    found = {part.name: (part.is_alive, part.is_ready) for part in status.parts}
    assert found == {
        "worker": (True, True),
        "starting": (True, False),
        "away": (True, False),
        "dead": (False, False),
    }


def test_the_record_of_a_killed_platform_is_not_believed_and_its_processes_are_found(tmp_path):
    write_record(tmp_path, PlatformRecord(supervisor=ProcessId(pid=os.getpid(), created_at=1.0), phase="running"))
    with subprocess.Popen(SLEEP, env={**os.environ, RUN_MARK: str(tmp_path)}) as left:
        status = look(load_settings(home=tmp_path))
        left.kill()
    assert (status.state, status.exit_code, status.leftovers) == ("stopped", 3, (left.pid,))
