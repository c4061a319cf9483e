"""Dagster resources around the clients of `brain_core` and `brain_assets.ml`.

A plain value in a resource shows in Dagit, so those that need a secret read the settings themselves when they are used.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd
from sqlalchemy import Engine

from brain_assets.asset_store import AssetStore
from brain_core.database import open_engine
from brain_core.errors import ObjectNotFound, StorageError
from brain_core.mail import open_mailer
from brain_core.settings import load_settings
from brain_core.storage import Bucket, open_bucket

if TYPE_CHECKING:
    from brain_assets.ml.registry import ModelRegistry
    from brain_assets.ml.sources import Source


class BucketResource(dg.ConfigurableResource[Any]):
    """The buckets of data and models, and of uploaded images."""

    uri: str
    inference_uri: str

    def data(self) -> Bucket:
        """Images, assets, models and reports."""
        return _bucket(self.uri)

    def inference(self) -> Bucket:
        """Uploaded images."""
        return _bucket(self.inference_uri)


class SourceResource(dg.ConfigurableResource[Any]):
    """Where training images come from."""

    uri: str
    batch_size: int
    max_undecodable_share: float

    def open(self) -> "Source":
        """The source itself."""
        from brain_assets.ml.sources import open_source

        return open_source(self.uri, _gcs_client)


class DatabaseResource(dg.ConfigurableResource[Any]):
    """The product's PostgreSQL."""

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """A connection pool that is closed at the end."""
        engine = open_engine(load_settings().database_url, pool_size=2)
        try:
            yield engine
        finally:
            engine.dispose()


class RegistryResource(dg.ConfigurableResource[Any]):
    """MLflow: runs and registered models."""

    uri: str
    timeout_s: int

    def open(self) -> "ModelRegistry":
        """The registry's client."""
        from brain_assets.ml.registry import ModelRegistry

        return ModelRegistry(self.uri, self.timeout_s)


class MailResource(dg.ConfigurableResource[Any]):
    """E-mail, by SMTP or into the outbox folder."""

    def send(self, subject: str, body: str) -> None:
        """Send a plain text e-mail to the recipients of the settings."""
        open_mailer(load_settings()).send(subject, body)


class AssetIOManager(dg.ConfigurableIOManager):
    """Keeps what assets return in the data bucket."""

    uri: str

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write the value of an asset, or of one batch of it."""
        if obj is not None:
            name = _name(context.asset_key)
            batch = context.partition_key if context.has_asset_partitions else None
            key = self._store().write(f"{name}/{batch}" if batch else name, obj)
            context.add_output_metadata({"object": key})

    def load_input(self, context: dg.InputContext) -> Any:
        """Read the value of an asset in the type that the reader declares; several batches are joined to one table."""
        name, kind = _name(context.asset_key), context.dagster_type.typing_type
        if not context.has_asset_partitions:
            return self._store().read(name, kind)
        tables = [self._store().read(f"{name}/{batch}", kind) for batch in context.asset_partition_keys]
        if not tables:
            raise ObjectNotFound(f"No batch of {name} was made yet. Run the job `ingest_batch` first.")
        return pd.concat(tables, ignore_index=True)

    def _store(self) -> AssetStore:
        return AssetStore(_bucket(self.uri))


def _name(key: dg.AssetKey) -> str:
    return "/".join(key.path)


def _bucket(uri: str) -> Bucket:
    if not uri.startswith("gs://"):
        return open_bucket(uri)
    from brain_core.storage import GcsBucket

    name, _, prefix = uri.removeprefix("gs://").partition("/")
    return GcsBucket(name, prefix, client=_gcs_client())


def _gcs_client() -> Any:
    from dagster_gcp.gcs import GCSResource
    from google.auth.exceptions import GoogleAuthError

    try:
        return GCSResource(project=None).get_client()
    except GoogleAuthError as exc:
        raise StorageError(
            f"Google Cloud Storage cannot be used without credentials: {exc} Run `gcloud auth application-default "
            "login`, or let GOOGLE_APPLICATION_CREDENTIALS name the file of a service account's key."
        ) from exc
