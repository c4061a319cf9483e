"""The groups of settings, which `settings` puts together and reads."""

import ipaddress
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from brain_core.cores import usable_cores

Port = Annotated[int, Field(ge=1024, le=65535)]


def _on_this_machine(group: dict[str, Any]) -> str:
    return f"http://127.0.0.1:{group['port']}"


def given(values: Any) -> Any:
    """What is not empty: `NAME=` means the default, also where `.env` or an image says something else."""
    return {name: value for name, value in values.items() if value != ""} if isinstance(values, dict) else values


class Group(BaseModel):
    """A group of settings; an unknown name in it is an error, an empty value means the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _given(cls, values: Any) -> Any:
        return given(values)


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


class RetrainingSettings(Group):
    """How `model_retraining` trains, whoever starts it; the launch pad in Dagit shows these values and takes others."""

    epochs: int | None = Field(
        None, ge=1, le=1000, description="At most so many passes over the images; empty: 5 from the champion's weights."
    )
    min_steps: int | None = Field(
        None, ge=1, description="A small data set is passed over as often as these steps take; empty: 100."
    )
    feedback_weight: float = Field(
        1.0, gt=0, le=20, description="What a corrected image counts in the loss, where one of the source counts 1."
    )
