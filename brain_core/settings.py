"""All settings, and the only place that reads the environment.

A setting `group.name` is the environment variable `BRAIN_GROUP__NAME`; `.env` in the working folder is read too.
`docs/settings.md` lists them.
"""

import difflib
import json
import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, SettingsConfigDict

from brain_core.errors import SettingsError
from brain_core.setting_groups import (
    BucketSettings,
    DagsterSettings,
    DashboardSettings,
    DatabaseSettings,
    FeedbackSettings,
    Group,
    LogSettings,
    MailSettings,
    MlflowSettings,
    ModelSettings,
    RetrainingSettings,
    ServingSettings,
    SourceSettings,
    UploadSettings,
    given,
)

PREFIX = "BRAIN_"
DELIMITER = "__"
OUTSIDE_SETTINGS = frozenset({"BRAIN_TEST_DATA"})
"""Variables with our prefix that are not settings of the product."""

_SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The metrics' library looks for it by this name."""


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
    retraining: RetrainingSettings = Field(default_factory=RetrainingSettings)

    @model_validator(mode="before")
    @classmethod
    def _given(cls, values: Any) -> Any:
        return given(values)

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
