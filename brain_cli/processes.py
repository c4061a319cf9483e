"""Which processes belong to a platform, by pid and start time or by the mark in their environment; never by name."""

import contextlib
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from brain_cli.parts import RUN_MARK

STOP_TIMEOUT_S = 20.0
_CLOCK_TOLERANCE_S = 10.0
"""Start times are told to the second and move when the clock is set; a number is not used again that fast."""

_POLL_INTERVAL_S = 0.1
_SWEEPS = 3


class ProcessId(BaseModel):
    """A process beyond doubt: numbers are used again, a number and a start time are not.

    Attributes:
        pid: its number.
        created_at: when it was started, seconds since 1970.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    created_at: float

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """Identify a process that runs; None when there is none with this number."""
        try:
            return cls(pid=pid, created_at=psutil.Process(pid).create_time())
        except psutil.Error:
            return None

    def find(self) -> psutil.Process | None:
        """The process, or None when it ended."""
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.created_at) <= _CLOCK_TOLERANCE_S
        except psutil.Error:
            return None
        return process if is_same and is_alive(process) else None


def is_alive(process: psutil.Process) -> bool:
    """Does it run? One that ended and that nobody has buried does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def tree_of(process: psutil.Process) -> list[psutil.Process]:
    """A process and all that it started, as far as they still run."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def marked_processes(home: Path) -> list[psutil.Process]:
    """All processes of the platform on `home`, also those whose parent is gone; never this one or its ancestors."""
    own = {process.pid for process in (psutil.Process(), *psutil.Process().parents())}
    return [process for process in psutil.process_iter() if process.pid not in own and _is_marked(process, home)]


def stop_marked(home: Path, timeout_s: float = STOP_TIMEOUT_S) -> list[psutil.Process]:
    """Stop all processes of the platform on `home`, and what they start while being stopped.

    Returns:
        Those that were stopped.
    """
    stopped: list[psutil.Process] = []
    for _ in range(_SWEEPS):
        found = marked_processes(home)
        if not found:
            break
        stop_processes(found, timeout_s)
        stopped += found
    return stopped


def stop_processes(processes: Iterable[psutil.Process], timeout_s: float = STOP_TIMEOUT_S) -> None:
    """Ask all to end, wait, and kill those that do not."""
    alive = list(dict.fromkeys(processes))
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    for process in _wait(alive, timeout_s):
        with contextlib.suppress(psutil.Error):
            process.kill()
    _wait(alive, timeout_s)


def _wait(processes: Sequence[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    deadline = time.monotonic() + timeout_s
    alive = [process for process in processes if is_alive(process)]
    while alive and time.monotonic() < deadline:
        time.sleep(_POLL_INTERVAL_S)
        alive = [process for process in alive if is_alive(process)]
    return alive


def _is_marked(process: psutil.Process, home: Path) -> bool:
    try:
        return process.environ().get(RUN_MARK) == str(home) and is_alive(process)
    except (psutil.Error, OSError):
        return False
