"""All settings, and the only place that reads the environment.

A setting `group.name` is the environment variable `BRAIN_GROUP__NAME`; `.env` in the working folder is read too.
`docs/settings.md` lists them.
"""

import difflib
import ipaddress
import json
import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, SettingsConfigDict

from brain_core.cores import usable_cores
from brain_core.errors import SettingsError

PREFIX = "BRAIN_"
DELIMITER = "__"
OUTSIDE_SETTINGS = frozenset({"BRAIN_TEST_DATA"})
"""Variables with our prefix that are not settings of the product."""

_SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The metrics' library looks for it by this name."""

Port = Annotated[int, Field(ge=1024, le=65535)]


def _on_this_machine(group: dict[str, Any]) -> str:
    return f"http://127.0.0.1:{group['port']}"


class Group(BaseModel):
    """A group of settings; an unknown name in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatabaseSettings(Group):
    """PostgreSQL for parts that run separately, as in containers; `brain up` always starts a server of its own."""

    url: SecretStr | None = Field(None, description="PostgreSQL URL of the product's own tables.")
    mlflow_url: SecretStr | None = Field(None, description="PostgreSQL URL of MLflow's tables.")
    dagster_url: SecretStr | None = Field(None, description="PostgreSQL URL of Dagster's tables.")


class BucketSettings(Group):
    """Where images, assets, models and reports are kept: a folder or `gs://bucket/prefix`."""

    uri: str | None = Field(None, description="Data and models. Default: `bucket` in BRAIN_HOME.")
    inference_uri: str | None = Field(
        None, description="Uploaded images, unversioned so that erasure erases. Default: as `uri`."
    )


class SourceSettings(Group):
    """Where training images come from."""

    uri: str = Field(
        "sample", description="`sample` (synthetic), a folder, `gs://bucket/prefix` or `kaggle:owner/dataset`."
    )
    max_undecodable_share: float = Field(
        0.01, ge=0, le=1, description="Above this share of unreadable images, ingestion blocks."
    )
    batch_size: int = Field(2000, ge=1, description="Most new images that one run reads.")
    sensor_interval_s: int = Field(60, ge=1, description="Seconds between looks at the source.")


class UploadSettings(Group):
    """Limits on one uploaded image, checked before it is decoded."""

    max_bytes: int = Field(10 * 2**20, ge=1024, description="Largest upload in bytes.")
    max_pixels: int = Field(25_000_000, ge=1024, description="Largest width times height.")


_MOST_MODEL_THREADS = 4
"""One image of the model's size keeps no more cores busy."""


class ServingSettings(Group):
    """The prediction API."""

    host: str = Field(
        "127.0.0.1",
        description="Address to listen on; any but this machine's own needs API keys (`brain keys create`).",
    )
    port: Port = Field(8000, description="Port of the API.")
    workers: int = Field(1, ge=1, le=64, description="Processes that share the port.")
    threads: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Threads of ONNX Runtime for one image. Default: the workers share the cores, at most 4 for each.",
    )
    champion_poll_s: float = Field(2.0, gt=0, description="Seconds between looks at the champion.")
    require_keys: bool = Field(
        False, description="Ask for API keys on this machine too, as behind a reverse proxy; elsewhere always."
    )
    key_cache_s: float = Field(5.0, gt=0, le=300, description="Seconds until a revoked key is refused.")
    rate_per_minute: int = Field(600, ge=1, description="Requests a minute of a key that has no rate of its own.")
    cors_origins: tuple[str, ...] = Field(
        (), description='Sites whose pages may call the API, as JSON: `["https://example.org"]`.'
    )
    queue: int = Field(64, ge=1, description="Uploads that one process works on or lets wait; more get 503 at once.")
    buffer_bytes: int = Field(
        128 * 2**20, ge=2**20, description="Bytes of unfinished uploads that one process holds; more get 503 at once."
    )
    connections: int = Field(1000, ge=1, description="Connections that one process keeps open; further ones are cut.")
    head_timeout_s: float = Field(10.0, gt=0, description="Seconds for a request's head to arrive.")
    body_timeout_s: float = Field(60.0, gt=0, description="Seconds for a request's body to arrive.")
    grace_s: int = Field(10, ge=0, description="Seconds that accepted requests get to finish when the server stops.")
    outbox_poll_s: float = Field(1.0, gt=0, description="Seconds between looks at images that wait for the bucket.")
    sweep_interval_s: float = Field(300.0, gt=0, description="Seconds between sweeps of what crashes left.")
    sweep_grace_s: float = Field(600.0, gt=0, description="What is younger is never swept: a request may be at it.")

    @property
    def model_threads(self) -> int:
        """Threads of ONNX Runtime for one image: `threads`, or a worker's share of the cores."""
        return self.threads or max(1, min(_MOST_MODEL_THREADS, usable_cores() // self.workers))

    @property
    def runs_at_once(self) -> int:
        """Runs of the model that a worker has under way: with all workers and threads no more than there are cores."""
        return max(1, usable_cores() // (self.workers * self.model_threads))

    @property
    def is_local(self) -> bool:
        """Is only this machine reached?"""
        return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback

    @property
    def needs_keys(self) -> bool:
        """Is nobody answered without an API key?"""
        return self.require_keys or not self.is_local

    @field_validator("host")
    @classmethod
    def _is_address(cls, host: str) -> str:
        try:
            return host if host == "localhost" else str(ipaddress.ip_address(host))
        except ValueError as exc:
            raise ValueError("write `localhost` or an IP address of this machine") from exc


class DashboardSettings(Group):
    """The Streamlit pages."""

    port: Port = Field(8501, description="Port of the dashboard.")
    api_url: str = Field(
        "http://127.0.0.1:8000", description="Where a separate dashboard finds the API; `brain up` uses its own."
    )
    api_timeout_s: float = Field(30.0, gt=0, description="Seconds until the API counts as away.")
    api_key: SecretStr | None = Field(
        None, min_length=32, description="API key that the pages send; `brain keys create --of-dashboard` stores it."
    )
    login: bool = Field(False, description="Readers log in by OpenID Connect, set up in Streamlit's secrets.")


class DagsterSettings(Group):
    """Dagit, the Dagster web server."""

    port: Port = Field(3000, description="Port of Dagit.")
    url: str = Field(
        default_factory=_on_this_machine,
        description="Dagit's address in e-mails and pages. Default: `port` on this machine; `brain up` uses its own.",
    )


class MlflowSettings(Group):
    """The MLflow server."""

    port: Port = Field(5000, description="Port of the MLflow server.")
    uri: str = Field(
        default_factory=_on_this_machine,
        description="MLflow's address for the pipeline. Default: `port` on this machine; `brain up` uses its own.",
    )
    timeout_s: int = Field(30, ge=1, description="Seconds until MLflow counts as away.")


class LogSettings(Group):
    """Structured logs and their delivery to Elasticsearch."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level.")
    elasticsearch_url: str | None = Field(None, description="Elasticsearch; empty: logs stay local.")
    elasticsearch_user: str = Field("brain_shipper", description="User that delivers logs.")
    elasticsearch_password: SecretStr | None = Field(None, description="Password of that user.")
    ship_interval_s: float = Field(2.0, gt=0, description="Seconds between deliveries.")


class MailSettings(Group):
    """E-mail on success and failure; without a host, mails are files in `outbox` in BRAIN_HOME."""

    smtp_host: str | None = Field(None, description="SMTP server; empty: write `.eml` files.")
    smtp_port: int = Field(587, ge=1, le=65535, description="Port of the SMTP server.")
    smtp_tls: bool = Field(True, description="Use STARTTLS.")
    smtp_user: str | None = Field(None, description="User of the SMTP server.")
    smtp_password: SecretStr | None = Field(None, description="Password of that user.")
    sender: str = Field("brain-assets@localhost", description="Sender of the e-mails.")
    recipients: tuple[str, ...] = Field(("team@localhost",), description="Receivers, a JSON list.")


class ModelSettings(Group):
    """The model that answers."""

    bundled: bool = Field(
        True, description="Publish the model that comes with the package, where no model is the champion yet."
    )
    shadow: bool = Field(False, description="Let the challenger answer uploads too, beside the champion, unseen.")


class FeedbackSettings(Group):
    """The feedback loop."""

    threshold: int = Field(50, ge=1, description="Retrain when strictly more corrections wait.")
    sensor_interval_s: int = Field(30, ge=1, description="Seconds between looks at the feedback.")
    review: Literal["auto", "required"] = Field(
        "auto", description="`auto` accepts every correction; `required` waits for a reviewer."
    )


class Settings(BaseSettings):
    """Every setting of the platform, read once at each entry point and passed down."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        env_file=".env",
        extra="ignore",
        frozen=True,
    )

    home: Path = Field(Path(".brain"), description="Folder of everything that the platform keeps.")
    environment: str = Field("development", pattern=r"^[a-z0-9]+$", description="Name in the logs' data stream.")
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    bucket: BucketSettings = Field(default_factory=BucketSettings)
    source: SourceSettings = Field(default_factory=SourceSettings)
    upload: UploadSettings = Field(default_factory=UploadSettings)
    serving: ServingSettings = Field(default_factory=ServingSettings)
    dashboard: DashboardSettings = Field(default_factory=DashboardSettings)
    dagster: DagsterSettings = Field(default_factory=DagsterSettings)
    mlflow: MlflowSettings = Field(default_factory=MlflowSettings)
    logs: LogSettings = Field(default_factory=LogSettings)
    mail: MailSettings = Field(default_factory=MailSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    feedback: FeedbackSettings = Field(default_factory=FeedbackSettings)

    @cached_property
    def home_path(self) -> Path:
        """Absolute path of `home`."""
        return self.home.expanduser().resolve()

    @property
    def bucket_uri(self) -> str:
        """The data bucket: `bucket.uri` or the folder in `home`."""
        return self.bucket.uri or str(self.home_path / "bucket")

    @property
    def inference_bucket_uri(self) -> str:
        """The bucket of uploaded images: `bucket.inference_uri` or the data bucket."""
        return self.bucket.inference_uri or self.bucket_uri

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the product's database.

        Raises:
            SettingsError: none is set; only `brain up` brings its own.
        """
        if self.database.url is None:
            raise SettingsError(
                "BRAIN_DATABASE__URL is not set. Set it to a PostgreSQL URL, or start everything with `brain up`."
            )
        return sqlalchemy_url(self.database.url.get_secret_value())

    def as_environment(self) -> dict[str, str]:
        """The environment variables that make `load_settings` give these settings again; secrets are in clear."""
        return dict(_variables(self, PREFIX))

    @property
    def spool_path(self) -> Path:
        """Folder of the durable log spool."""
        return self.home_path / "spool"

    @property
    def outbox_path(self) -> Path:
        """Folder of e-mails when no SMTP server is set."""
        return self.home_path / "outbox"


def sqlalchemy_url(url: str) -> str:
    """`postgresql://…` with the driver named, since SQLAlchemy would otherwise look for psycopg 3."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg2{separator}{rest}" if scheme in {"postgresql", "postgres"} else url


def setting_names() -> tuple[str, ...]:
    """The environment variables of all settings, in the order of the class."""
    return tuple(_names(Settings, PREFIX))


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment and `.env`.

    Raises:
        SettingsError: a variable with our prefix is unknown, or a value is not allowed; the message names it.
    """
    _refuse_unknown_names()
    try:
        return Settings(**overrides)
    except ValidationError as exc:
        raise SettingsError(_describe(exc)) from exc


def child_environment(**variables: str) -> dict[str, str]:
    """The environment for a process that the platform starts: ours plus `variables`."""
    return {**os.environ, **variables}


def hand_down(settings: Settings) -> None:
    """Let the processes that this one starts read these settings, whatever the environment said before."""
    os.environ.update(settings.as_environment())


def shared_folder() -> Path | None:
    """The folder that several processes of one server share; None for a server of one process."""
    folder = os.environ.get(_SHARED_FOLDER)
    return Path(folder) if folder else None


def share_folder(folder: Path) -> None:
    """Name that folder to this process and to those that it starts."""
    os.environ[_SHARED_FOLDER] = str(folder)


def _names(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Group):
            yield from _names(annotation, f"{prefix}{name.upper()}{DELIMITER}")
        else:
            yield f"{prefix}{name.upper()}"


def _variables(group: BaseModel, prefix: str) -> Iterator[tuple[str, str]]:
    for name in type(group).model_fields:
        value = getattr(group, name)
        if isinstance(value, Group):
            yield from _variables(value, f"{prefix}{name.upper()}{DELIMITER}")
        elif value is not None:
            yield f"{prefix}{name.upper()}", _as_text(value)


def _as_text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, (tuple, bool)) else str(value)


def _refuse_unknown_names() -> None:
    known = {*setting_names(), *OUTSIDE_SETTINGS}
    # Pydantic reads names in any case.
    names = {name.upper() for name in (*os.environ, *_names_in_dotenv())}
    unknown = sorted(name for name in names if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise SettingsError(_not_a_setting(unknown[0]))


def _names_in_dotenv() -> Iterable[str]:
    try:
        return DotEnvSettingsSource(Settings).env_vars
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f".env cannot be read: {exc}. Make it a readable text file in UTF-8.") from exc


def _not_a_setting(name: str) -> str:
    close = difflib.get_close_matches(name, setting_names(), n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"{name} is not a setting.{hint} docs/settings.md lists all of them."


def _describe(error: ValidationError) -> str:
    # A default that follows another setting could not be made: that other setting's own sentence says why.
    wrong = (detail for detail in error.errors() if detail["type"] != "default_factory_not_called")
    return "\n".join(_sentence(detail) for detail in wrong)


def _sentence(detail: Any) -> str:
    name = PREFIX + DELIMITER.join(str(part).upper() for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return _not_a_setting(name)
    return f"{name}: {detail['msg']} (got {_shown(detail)!r})"


def _shown(detail: Any) -> Any:
    secret = any(word in str(detail["loc"][-1]) for word in ("password", "url", "key"))
    return "…" if secret else detail["input"]
