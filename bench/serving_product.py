"""The prediction API as it runs in production: its own processes, embedded PostgreSQL, bucket in a folder."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from load_generator import Server, free_port, running, tree
from sqlalchemy import Engine

from brain_cli.embedded_postgres import embedded_postgres
from brain_core.bundle import CONTENT_FILES, MANIFEST_FILE, ChampionPointer, folder_files, read_manifest, sha256
from brain_core.database import open_engine, upgrade_database
from brain_core.settings import child_environment, setting_names, sqlalchemy_url
from brain_core.storage import CHAMPION_KEY, LocalBucket, model_key

REPOSITORY = Path(__file__).parents[1]
UPLOAD_FIELDS = {"consent": "true"}


@dataclass(frozen=True)
class Product:
    """The running API and what it keeps.

    Attributes:
        server: as the load generator takes it; its processes are the API's and PostgreSQL's.
        url: the API's address.
        workers: finds the processes that answer.
        engine: of its database.
        bucket: of its images.
    """

    server: Server
    url: str
    pid: int
    engine: Engine
    bucket: LocalBucket

    def workers(self) -> list[psutil.Process]:
        """The processes that answer requests."""
        main, *others = tree(self.pid)
        answering = [process for process in others if "multiprocessing.spawn" in " ".join(process.cmdline())]
        return answering or [main]


@contextmanager
def running_product(bundle: Path, home: Path, workers: int, threads: int) -> Iterator[Product]:
    """Serve the bundle until the end of the block.

    Args:
        bundle: folder of the bundle.
        home: BRAIN_HOME, an absent folder.
        workers: processes that answer.
        threads: of ONNX Runtime in each.
    """
    bucket = LocalBucket(home / "bucket")
    publish(bundle, bucket)
    with embedded_postgres(home / "postgres") as postgres:
        url = sqlalchemy_url(postgres.urls["brain"])
        upgrade_database(url)
        engine, port = open_engine(url), free_port()
        environment = product_environment(
            BRAIN_HOME=str(home),
            BRAIN_DATABASE__URL=postgres.urls["brain"],
            BRAIN_SERVING__PORT=str(port),
            BRAIN_SERVING__WORKERS=str(workers),
            BRAIN_SERVING__THREADS=str(threads),
        )
        address = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "serving.main"]
        with running(command, environment, f"{address}/readyz", home / "serving.log") as started:
            server = Server(
                f"{address}/v1/predictions",
                lambda: tree(started.pid) + tree(postgres.process.pid),
                started.start_s,
            )
            yield Product(server, address, started.pid, engine, bucket)
        engine.dispose()


def product_environment(**variables: str) -> dict[str, str]:
    """The environment of the API: its settings are those given and no others."""
    path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    inherited = child_environment(PYTHONPATH=path)
    own = {name: value for name, value in inherited.items() if name not in setting_names()}
    return {**own, **variables}


def publish(bundle: Path, bucket: LocalBucket) -> None:
    """Make a bundle the champion of a bucket, without MLflow, which serving does not need."""
    files = folder_files(bundle)
    version = read_manifest(files).version
    for name in (*CONTENT_FILES, MANIFEST_FILE):
        bucket.write(model_key(version, name), files.read(name))
    pointer = ChampionPointer(
        version=version, sha256=sha256(files.read(MANIFEST_FILE)), promoted_at=datetime.now(UTC), promoted_by="bench"
    )
    bucket.write(CHAMPION_KEY, json.dumps(pointer.model_dump(mode="json")).encode())


def free_home(folder: Path) -> Path:
    """An empty BRAIN_HOME in a folder."""
    home = folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    return home
