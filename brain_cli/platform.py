"""The whole platform on this machine: embedded PostgreSQL and every process, started and stopped together."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from brain_cli.embedded_postgres import EmbeddedServer, embedded_postgres, stop_leftover_server
from brain_cli.interrupts import held_back
from brain_cli.page_key import store_page_key, with_page_key
from brain_cli.parts import (
    DAGSTER_YAML,
    WORKSPACE_YAML,
    Part,
    bundled_model_part,
    code_socket,
    dagster_workspace,
    platform_environment,
    platform_parts,
)
from brain_cli.processes import ProcessId, stop_marked
from brain_cli.record import PartRecord, Phase, PlatformRecord, read_record, remove_record, write_record
from brain_cli.supervisor import Supervisor, is_free, port_taken
from brain_cli.upgrades import Upgrades
from brain_core.errors import AlreadyRunning, StartupError
from brain_core.settings import Settings, sqlalchemy_url
from brain_core.storage import CHAMPION_KEY, open_bucket

READY_TIMEOUT_S = 240.0


@dataclass(frozen=True)
class Platform:
    """A platform that runs."""

    supervisor: Supervisor
    parts: list[Part]
    database_urls: dict[str, str]


@contextmanager
def running_platform(settings: Settings, say: Callable[[str], None]) -> Iterator[Platform]:
    """Start everything, wait until it answers, and stop everything at the end, also after a failed start.

    Args:
        settings: what to run, and on which ports.
        say: told each step in words.

    Raises:
        AlreadyRunning: another platform uses the same `BRAIN_HOME`.
        PortTaken: a port is in use; the message names its setting.
        ProcessDied: a process ended while starting.
        StartupError: `BRAIN_HOME` cannot be written, a newer version wrote it, PostgreSQL does not start, or a part
            does not answer.
    """
    home = settings.home_path
    with only_one(home), _cleaned_up(home):
        for name in stop_leftovers(home):
            say(f"Stopped what a killed platform left: {name}")
        refuse_taken_ports(platform_parts(settings, ""))
        with _writing(home):
            _write(home, "starting")
            _prepare_dagster(home)
        with embedded_postgres(home / "postgres") as server:
            say("PostgreSQL is ready")
            with _running_parts(settings, server, say) as platform:
                yield platform


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the lock of a platform on `home`.

    Raises:
        AlreadyRunning: another process holds it; the message names it.
        StartupError: the folder cannot be written.
    """
    lock = FileLock(home / "platform.lock")
    try:
        with _writing(home):
            home.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
    except Timeout as exc:
        raise AlreadyRunning(_already_running(home)) from exc
    try:
        yield
    finally:
        lock.release()


def stop_leftovers(home: Path) -> list[str]:
    """Stop all that a killed platform left running on `home`; only for the holder of its lock.

    Returns:
        The names of what was stopped.
    """
    record = read_record(home)
    names = {part.process.pid: part.name for part in record.parts} if record else {}
    stopped = [_name_of(process, names) for process in stop_marked(home)]
    if stop_leftover_server(home / "postgres"):
        stopped.append("postgres")
    remove_record(home)
    return stopped


def refuse_taken_ports(parts: list[Part]) -> None:
    """Check that every port is free.

    Raises:
        PortTaken: names the port and its setting.
    """
    for part in parts:
        if part.port is not None and not is_free(part.port):
            raise port_taken(part)


def first_model(settings: Settings, say: Callable[[str], None]) -> list[Part]:
    """What publishes the bundled model: nothing where it is not wanted or there is a champion already.

    Args:
        settings: whether it is wanted, and in which bucket the champion is looked for.
        say: told when this installation comes without a model.

    Raises:
        StorageError: the bucket is away.
    """
    from brain_assets.ml.pretrained import has_pretrained

    if not settings.model.bundled or open_bucket(settings.bucket_uri).exists(CHAMPION_KEY):
        return []
    if not has_pretrained():
        say("No model comes with this installation: the first one that is built becomes the champion")
        return []
    return [bundled_model_part()]


@contextmanager
def _running_parts(settings: Settings, server: EmbeddedServer, say: Callable[[str], None]) -> Iterator[Platform]:
    settings = with_page_key(settings)
    home, urls = settings.home_path, dict(server.urls)
    environment = platform_environment(settings, urls)
    supervisor = Supervisor(home / "logs", environment)
    supervisor.watch(PartRecord(name="postgres", process=server.process, ready_at=time.time()), server.log)
    parts = platform_parts(settings, sqlalchemy_url(urls["mlflow"])) + first_model(settings, say)

    def record(phase: Phase) -> None:
        _write(home, phase, supervisor.records())

    def announce(part: Part | None) -> None:
        record("starting")
        if part and part.title:
            say(f"{part.title} is ready: {part.url}")
        elif part and part.outcome:
            say(part.outcome)

    try:
        record("starting")
        Upgrades(urls, environment, home / "logs", say).upgrade_all()
        store_page_key(settings, urls["brain"])
        supervisor.start_in_order(parts, READY_TIMEOUT_S, announce)
        record("running")
        yield Platform(supervisor, parts, urls)
    finally:
        with held_back():
            record("stopping")
            supervisor.stop()


@contextmanager
def _writing(home: Path) -> Iterator[None]:
    try:
        yield
    except Timeout:
        raise
    except OSError as exc:
        reason = exc.strerror or exc
        raise StartupError(
            f"{home} cannot be written: {reason}. Set BRAIN_HOME to a folder that this user may write."
        ) from exc


@contextmanager
def _cleaned_up(home: Path) -> Iterator[None]:
    try:
        yield
    finally:
        with held_back():
            stop_leftovers(home)


def _write(home: Path, phase: Phase, parts: tuple[PartRecord, ...] = ()) -> None:
    this = ProcessId.of(os.getpid())
    if this is not None:
        write_record(home, PlatformRecord(supervisor=this, phase=phase, parts=parts))


def _already_running(home: Path) -> str:
    record = read_record(home)
    details = [f"process {record.supervisor.pid}"] if record else []
    if record and record.url_of("Dagit"):
        details.append(f"Dagit: {record.url_of('Dagit')}")
    named = f" ({', '.join(details)})" if details else ""
    return (
        f"A platform already runs on {home}{named}. "
        "Stop it with `brain down` or Ctrl-C, or set BRAIN_HOME to another folder."
    )


def _name_of(process: psutil.Process, names: dict[int, str]) -> str:
    return names.get(process.pid, f"process {process.pid}")


def _prepare_dagster(home: Path) -> None:
    folder, socket = home / "dagster", code_socket(home)
    folder.mkdir(parents=True, exist_ok=True)
    socket.parent.mkdir(parents=True, exist_ok=True)
    # Whoever may open the socket may run code; a folder of someone else's cannot be changed and is refused.
    socket.parent.chmod(0o700)
    socket.unlink(missing_ok=True)
    (folder / "dagster.yaml").write_text(DAGSTER_YAML.format(compute_logs=folder / "compute_logs"))
    dagster_workspace(home).write_text(WORKSPACE_YAML.format(socket=socket))
