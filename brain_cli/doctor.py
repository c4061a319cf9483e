"""`brain doctor`: versions, what is reachable, what is missing."""

import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import httpx
from sqlalchemy import text

from brain_core.bundle import read_champion
from brain_core.database import open_engine, translated_errors
from brain_core.errors import BrainError, SettingsError
from brain_core.settings import Settings
from brain_core.storage import open_bucket

PACKAGES = ("dagster", "mlflow", "keras", "tensorflow", "evidently", "onnxruntime", "fastapi", "streamlit")


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was looked at.
        state: `ok`, `missing` (must be there) or `off` (may be away).
        detail: version, address or what to do.
    """

    name: str
    state: str
    detail: str


def examine(settings: Settings) -> list[Finding]:
    """Look at everything that the platform needs; never raises for a part that is away."""
    return [
        Finding("python", "ok", platform.python_version()),
        *(_package(name) for name in PACKAGES),
        _probe("home", lambda: _writable(settings.home_path)),
        _probe("bucket", lambda: _bucket(settings)),
        _probe("champion", lambda: read_champion(open_bucket(settings.bucket_uri)).version, "off"),
        _probe("database", lambda: _database(settings), "off"),
        _url("dagit", f"http://127.0.0.1:{settings.dagster.port}/server_info"),
        _url("mlflow server", f"{settings.mlflow.uri}/health"),
        _url("serving", f"http://127.0.0.1:{settings.serving.port}/readyz"),
        _url("dashboard", f"http://127.0.0.1:{settings.dashboard.port}/_stcore/health"),
        _elasticsearch(settings),
    ]


def _package(name: str) -> Finding:
    try:
        return Finding(name, "ok", version(name))
    except PackageNotFoundError:
        return Finding(name, "missing", "run `make install`")


def _probe(name: str, look: Callable[[], str], state_when_away: str = "missing") -> Finding:
    try:
        return Finding(name, "ok", look())
    except (BrainError, OSError) as exc:
        return Finding(name, state_when_away, str(exc))


def _writable(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    free_gb = shutil.disk_usage(folder).free / 1e9
    return f"{folder} ({free_gb:.0f} GB free)"


def _bucket(settings: Settings) -> str:
    open_bucket(settings.bucket_uri).exists("data")
    return settings.bucket_uri


def _database(settings: Settings) -> str:
    try:
        engine = open_engine(settings.database_url)
    except SettingsError:
        return "embedded, started by `brain up`"
    with translated_errors(), engine.connect() as connection:
        return f"PostgreSQL {connection.scalar(text('SHOW server_version'))}"


def _url(name: str, url: str) -> Finding:
    try:
        status = httpx.get(url, timeout=3.0, trust_env=False).status_code
    except httpx.HTTPError:
        return Finding(name, "off", f"{url} does not answer")
    return Finding(name, "ok" if status == httpx.codes.OK else "off", f"{url} answers {status}")


def _elasticsearch(settings: Settings) -> Finding:
    if settings.logs.elasticsearch_url is None:
        return Finding("elasticsearch", "off", "not set; logs stay in the spool (BRAIN_LOGS__ELASTICSEARCH_URL)")
    return _url("elasticsearch", settings.logs.elasticsearch_url)
