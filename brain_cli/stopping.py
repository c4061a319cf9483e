"""`brain down`: stops a platform that was started elsewhere."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from brain_cli.platform import only_one, stop_leftovers
from brain_cli.record import PlatformRecord, read_record
from brain_core.errors import StartupError

TIMEOUT_S = 120.0
"""How long a platform may take to stop before its supervisor is killed and the rest is stopped one by one."""

_POLL_INTERVAL_S = 0.25


def stop_platform(home: Path, say: Callable[[str], None], timeout_s: float = TIMEOUT_S) -> list[str]:
    """Stop the platform on `home`, or what a killed one left, and wait until all of it has ended.

    Args:
        home: its BRAIN_HOME.
        say: told what is being waited for.
        timeout_s: for the orderly end.

    Returns:
        The names of what was stopped; nothing when nothing ran.

    Raises:
        StartupError: it belongs to another user.
        AlreadyRunning: someone started a platform meanwhile.
    """
    if not home.is_dir():
        return []
    record = read_record(home)
    supervisor = record.supervisor.find() if record else None
    stopped = _stop_supervisor(record, supervisor, say, timeout_s) if record and supervisor else []
    with only_one(home):
        left = stop_leftovers(home)
    return stopped + [name for name in left if name not in stopped]


def _stop_supervisor(
    record: PlatformRecord, supervisor: psutil.Process, say: Callable[[str], None], timeout_s: float
) -> list[str]:
    say(f"Stopping the platform (process {supervisor.pid})…")
    try:
        supervisor.terminate()
        if not _ended(record, timeout_s):
            say(f"It did not stop within {timeout_s:.0f} s and is killed.")
            supervisor.kill()
            _ended(record, timeout_s)
    except psutil.NoSuchProcess:
        pass
    except psutil.AccessDenied as exc:
        raise StartupError(
            f"Process {supervisor.pid} belongs to another user. Stop the platform as the user who started it."
        ) from exc
    return [part.name for part in record.parts]


def _ended(record: PlatformRecord, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while record.supervisor.find() is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_INTERVAL_S)
    return True
