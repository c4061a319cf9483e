"""A real Elasticsearch for the session: the core of the distribution from Maven, with security, roles and users."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from elasticsearch import ApiError, Elasticsearch, TransportError

from brain_core.elasticsearch_setup import set_up
from tests.requirements import java_home, maven, need

ELK = Path(__file__).parents[1] / "elk"
VERSION = "9.3.2"
ARTIFACT = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{VERSION}:zip"
START_TIMEOUT_S = 240
PASSWORD = "only-for-this-test-session"


@dataclass(frozen=True)
class ElasticsearchServer:
    url: str

    def client(self, user: str = "elastic") -> Elasticsearch:
        return Elasticsearch(self.url, basic_auth=(user, PASSWORD), request_timeout=30)


@pytest.fixture(scope="session")
def elasticsearch() -> Iterator[ElasticsearchServer]:
    """A running server with the template of `elk/` installed and its users made; every password is `PASSWORD`."""
    environment = {
        **os.environ,
        "ES_JAVA_HOME": need(java_home, "Java 21 or newer"),
        "ES_JAVA_OPTS": "-Xms512m -Xmx512m",
    }
    archive = _archive()
    with tempfile.TemporaryDirectory(prefix="es-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        home = _unpacked(archive, Path(folder))
        port = _configure(home)
        as_user = _other_user(Path(folder))
        _prepare(home, {**environment, "HOME": folder}, as_user)
        log = (Path(folder) / "server.log").open("wb")
        process = subprocess.Popen(
            ["bin/elasticsearch"], cwd=home, env={**environment, "HOME": folder}, stdout=log, stderr=log, **as_user
        )
        try:
            server = ElasticsearchServer(f"http://127.0.0.1:{port}")
            _wait_until_ready(server, process, Path(folder) / "server.log")
            set_up(server.client(), ELK)
            yield server
        finally:
            process.terminate()
            process.wait(60)
            log.close()


def _archive() -> Path:
    group, artifact = ARTIFACT.split(":")[:2]
    folder = Path.home() / ".m2/repository" / group.replace(".", "/") / artifact / VERSION
    archive = folder / f"{artifact}-{VERSION}.zip"
    if not archive.exists():
        mvn = need(maven, "Maven")
        subprocess.run([mvn, "-q", "dependency:get", f"-Dartifact={ARTIFACT}", "-Dtransitive=false"], check=True)
    return archive


def _unpacked(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)
    home = folder / f"elasticsearch-{VERSION}"
    for script in (home / "bin").iterdir():
        script.chmod(0o755)
    return home


def _configure(home: Path) -> int:
    http, transport = free_port(), free_port()
    settings = {
        "discovery.type": "single-node",
        "network.host": "127.0.0.1",
        "http.port": http,
        "transport.port": transport,
        "xpack.security.enabled": "true",
        "xpack.security.autoconfiguration.enabled": "false",
        "xpack.security.http.ssl.enabled": "false",
        "xpack.security.transport.ssl.enabled": "false",
        "cluster.routing.allocation.disk.threshold_enabled": "false",
    }
    (home / "config/elasticsearch.yml").write_text("\n".join(f"{k}: {v}" for k, v in settings.items()))
    shutil.copy(ELK / "roles.yml", home / "config/roles.yml")
    shutil.copy(ELK / "create-users.sh", home / "create-users.sh")
    return http


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _other_user(folder: Path) -> dict[str, object]:
    """Elasticsearch refuses to run as root: then the folder and the process are `nobody`'s."""
    if os.geteuid() != 0:
        return {}
    for path in [folder, *folder.rglob("*")]:
        shutil.chown(path, "nobody")
    return {"user": "nobody", "extra_groups": []}


def _prepare(home: Path, environment: dict[str, str], as_user: dict[str, object]) -> None:
    """The bootstrap password and, with the script that the containers use, the users."""
    passwords = dict.fromkeys(("SHIPPER_PASSWORD", "READER_PASSWORD", "KIBANA_PASSWORD"), PASSWORD)
    keystore = ["bin/elasticsearch-keystore", "add", "-x", "-f", "bootstrap.password"]
    for command in (keystore, ["bash", "create-users.sh"]):
        result = subprocess.run(
            command,
            cwd=home,
            env={**environment, **passwords},
            input=PASSWORD.encode(),
            capture_output=True,
            check=False,
            **as_user,
        )
        assert result.returncode == 0, result.stderr.decode()


def _wait_until_ready(server: ElasticsearchServer, process: "subprocess.Popen[bytes]", log: Path) -> None:
    client = server.client()
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            client.cluster.health(wait_for_status="yellow", timeout="5s")
        except (ApiError, TransportError):
            time.sleep(0.5)
        else:
            return
    pytest.fail(f"Elasticsearch did not start:\n{log.read_text(errors='replace')[-3000:]}")
