"""The prediction API as it runs in production: its own processes, embedded PostgreSQL, bucket in a folder."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from load_generator import Server, free_port, running, tree
from sqlalchemy import Engine, text

from brain_cli.embedded_postgres import embedded_postgres
from brain_core.bundle import MANIFEST_FILE, ChampionPointer, folder_files, read_manifest, sha256
from brain_core.consent import current_consent
from brain_core.database import open_engine, upgrade_database
from brain_core.settings import child_environment, setting_names, sqlalchemy_url
from brain_core.storage import CHAMPION_KEY, LocalBucket, model_key

REPOSITORY = Path(__file__).parents[1]
FORM = {"consent": "true", "consent_version": current_consent().version}
"""Fields of an upload beside the file."""

_HEAVY = ("tensorflow", "keras", "dagster", "mlflow", "evidently")


@dataclass(frozen=True)
class Stores:
    """What the API keeps things in, with a published model.

    Attributes:
        home: BRAIN_HOME.
        url: of the database.
        engine: connections to it.
        bucket: of images and models.
        postgres_pid: PostgreSQL's main process.
    """

    home: Path
    url: str
    engine: Engine
    bucket: LocalBucket
    postgres_pid: int

    def counts(self) -> tuple[int, int]:
        """Rows of predictions and refusals; images in the bucket."""
        with self.engine.connect() as connection:
            rows = connection.scalar(text("SELECT count(*) FROM prediction"))
        return int(rows or 0), sum(1 for _ in self.bucket.keys("InferenceLogs/ImageLogs"))


@dataclass(frozen=True)
class Product:
    """The running API.

    Attributes:
        server: as the load generator takes it; its processes are the API's and PostgreSQL's.
        url: the API's address.
        pid: its main process.
    """

    server: Server
    url: str
    pid: int

    def workers(self) -> list[psutil.Process]:
        """The processes that answer requests."""
        main, *others = tree(self.pid)
        answering = [process for process in others if "multiprocessing.spawn" in " ".join(process.cmdline())]
        return answering or [main]


@contextmanager
def stores(bundle: Path, home: Path) -> Iterator[Stores]:
    """Embedded PostgreSQL with the product's tables, and a bucket whose champion is the bundle, in an empty `home`."""
    bucket = LocalBucket(home / "bucket")
    publish(bundle, bucket)
    with embedded_postgres(home / "postgres") as postgres:
        url = postgres.urls["brain"]
        upgrade_database(sqlalchemy_url(url))
        engine = open_engine(sqlalchemy_url(url))
        try:
            yield Stores(home, url, engine, bucket, postgres.process.pid)
        finally:
            engine.dispose()


@contextmanager
def running_product(kept: Stores, workers: int, threads: int, **settings: str) -> Iterator[Product]:
    """Serve until the end of the block; compiled modules are kept from one start to the next, as where it is installed.

    Args:
        kept: where it keeps things.
        workers: processes that answer.
        threads: of ONNX Runtime in each.
        settings: further ones by their variables' names.
    """
    port = free_port()
    environment = product_environment(
        BRAIN_HOME=str(kept.home),
        BRAIN_DATABASE__URL=kept.url,
        BRAIN_SERVING__PORT=str(port),
        BRAIN_SERVING__WORKERS=str(workers),
        BRAIN_SERVING__THREADS=str(threads),
        **settings,
    )
    environment["PYTHONPYCACHEPREFIX"] = str(kept.home / "bytecode")
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "serving.main"]
    with running(command, environment, f"{address}/readyz", kept.home / "serving.log") as started:
        processes = lambda: tree(started.pid) + tree(kept.postgres_pid)  # noqa: E731
        yield Product(Server(f"{address}/v1/predictions", processes, started.start_s), address, started.pid)


def heavy_imports() -> list[str]:
    """Packages of the pipeline that a fresh process has loaded after it imported all of serving: there must be none."""
    code = f"import sys, serving.main, serving.app; print(*[name for name in {_HEAVY!r} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], env=product_environment(), capture_output=True, text=True, check=True
    )
    return result.stdout.split()


def product_environment(**variables: str) -> dict[str, str]:
    """The environment of the API: its settings are those given and no others."""
    path = os.pathsep.join([str(REPOSITORY), *filter(None, [child_environment().get("PYTHONPATH")])])
    own = {name: value for name, value in child_environment().items() if name not in setting_names()}
    return {**own, "PYTHONPATH": path, **variables}


def publish(bundle: Path, bucket: LocalBucket) -> None:
    """Make a bundle the champion of a bucket, without MLflow, which serving does not need."""
    files = folder_files(bundle)
    manifest = read_manifest(files)
    for name in (*manifest.sha256, MANIFEST_FILE):
        bucket.write(model_key(manifest.version, name), files.read(name))
    pointer = ChampionPointer(
        version=manifest.version,
        sha256=sha256(files.read(MANIFEST_FILE)),
        promoted_at=datetime.now(UTC),
        promoted_by="bench",
    )
    bucket.write(CHAMPION_KEY, json.dumps(pointer.model_dump(mode="json")).encode())
