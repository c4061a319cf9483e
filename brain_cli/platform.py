"""The whole platform on this machine: embedded PostgreSQL and every process, started and stopped together."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from filelock import FileLock, Timeout

from brain_cli.embedded_postgres import embedded_postgres
from brain_cli.parts import DAGSTER_YAML, LOOPBACK, Part, platform_environment, platform_parts
from brain_cli.supervisor import Supervisor
from brain_core.database import upgrade_database
from brain_core.errors import AlreadyRunning, PortTaken
from brain_core.settings import Settings, sqlalchemy_url

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
    """
    with _only_one(settings):
        refuse_taken_ports(platform_parts(settings, ""))
        _write_dagster_yaml(settings)
        with embedded_postgres(settings.home_path / "postgres") as urls:
            say("PostgreSQL is ready")
            upgrade_database(sqlalchemy_url(urls["brain"]))
            parts = platform_parts(settings, sqlalchemy_url(urls["mlflow"]))
            supervisor = Supervisor(settings.home_path / "logs", platform_environment(settings, urls))
            try:
                for part in parts:
                    supervisor.start(part)
                supervisor.wait_until_ready(READY_TIMEOUT_S, lambda part: say(f"{part.title} is ready: {part.url}"))
                yield Platform(supervisor, parts, urls)
            finally:
                supervisor.stop()


def refuse_taken_ports(parts: list[Part]) -> None:
    """Check that every port is free.

    Raises:
        PortTaken: names the port and its setting.
    """
    for part in parts:
        if part.port is not None and not is_free(part.port):
            raise PortTaken(
                f"Port {part.port} for {part.name} is in use. "
                f"Stop what uses it, or set {part.port_setting} to a free port."
            )


def is_free(port: int) -> bool:
    """Can a server listen on this loopback port?"""
    with socket.socket() as probe:
        # As servers do; otherwise connections of a server that just ended would count as "in use".
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    settings.home_path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(settings.home_path / "platform.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as exc:
        raise AlreadyRunning(
            f"A platform already runs on {settings.home_path}. "
            "Stop it with Ctrl-C, or set BRAIN_HOME to another folder."
        ) from exc
    try:
        yield
    finally:
        lock.release()


def _write_dagster_yaml(settings: Settings) -> None:
    folder = settings.home_path / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dagster.yaml").write_text(DAGSTER_YAML.format(compute_logs=folder / "compute_logs"))
