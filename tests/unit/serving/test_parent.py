import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

from serving.parent import end_with_parent

PARENT = """
import multiprocessing, os, sys, time
from serving.parent import end_with_parent

def work():
    end_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(300)

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=work).start()
    time.sleep(300)
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_ends_when_its_parent_is_killed(tmp_path):
    program = tmp_path / "parent.py"
    program.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        worker = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while is_alive(worker) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_alive(worker)


def test_a_process_that_nobody_started_as_a_worker_watches_nothing():
    assert multiprocessing.parent_process() is None
    end_with_parent()
    assert "parent-watch" not in {thread.name for thread in threading.enumerate()}
