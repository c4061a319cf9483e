"""The bucket: where bytes are kept, and the layout of the keys.

Two kinds behind one protocol: `LocalBucket` (a folder) and `GcsBucket` (Google Cloud Storage).
"""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from uuid import UUID

from brain_core.errors import ObjectNotFound, StorageError

CHAMPION_KEY = "models/champion.json"


class Bucket(Protocol):
    """Objects by key. A write is whole or not at all; deleting what is not there is no error.

    Every method raises `StorageError` when the bucket is away, and `read` raises `ObjectNotFound` for a missing key.
    """

    def read(self, key: str) -> bytes:
        """The object's bytes."""

    def write(self, key: str, data: bytes) -> None:
        """Create or replace the object."""

    def delete(self, key: str) -> None:
        """Remove the object if it is there."""

    def exists(self, key: str) -> bool:
        """Is there such an object?"""

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys that start with `prefix`, sorted."""


class LocalBucket:
    """A bucket in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, key: str) -> bytes:
        """The object's bytes."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError as exc:
            raise ObjectNotFound(f"There is no object {key!r} in {self.root}.") from exc
        except OSError as exc:
            raise StorageError(f"The bucket {self.root} cannot be read: {exc.strerror}.") from exc

    def write(self, key: str, data: bytes) -> None:
        """Create or replace the object; durable when it returns."""
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._replace(path, data)
        except OSError as exc:
            raise StorageError(f"The bucket {self.root} cannot be written: {exc.strerror}.") from exc

    def delete(self, key: str) -> None:
        """Remove the object if it is there."""
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as exc:
            raise StorageError(f"The bucket {self.root} cannot be written: {exc.strerror}.") from exc

    def exists(self, key: str) -> bool:
        """Is there such an object?"""
        return self._path(key).is_file()

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys that start with `prefix`, sorted."""
        folder = self._path(prefix.rpartition("/")[0] or ".")
        paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".tmp-"))
        found = (path.relative_to(self.root.resolve()).as_posix() for path in paths)
        return iter(sorted(key for key in found if key.startswith(prefix)))

    def _path(self, key: str) -> Path:
        root = self.root.resolve()
        path = (root / PurePosixPath(key)).resolve()
        if not path.is_relative_to(root):
            raise StorageError(f"The key {key!r} points outside the bucket.")
        return path

    @staticmethod
    def _replace(path: Path, data: bytes) -> None:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".tmp-", delete=False) as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise


class GcsBucket:
    """A bucket (or a prefix in one) on Google Cloud Storage; credentials are the environment's own."""

    def __init__(self, name: str, prefix: str = "", client: Any = None) -> None:
        from google.cloud import storage

        self._bucket = (client or storage.Client()).bucket(name)
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def read(self, key: str) -> bytes:
        """The object's bytes."""
        from google.api_core.exceptions import NotFound

        try:
            return bytes(self._call(self._blob(key).download_as_bytes))
        except NotFound as exc:
            raise ObjectNotFound(f"There is no object {key!r} in {self._bucket.name}.") from exc

    def write(self, key: str, data: bytes) -> None:
        """Create or replace the object."""
        self._call(self._blob(key).upload_from_string, data, content_type="application/octet-stream")

    def delete(self, key: str) -> None:
        """Remove the object if it is there."""
        from google.api_core.exceptions import NotFound

        try:
            self._call(self._blob(key).delete)
        except NotFound:
            return

    def exists(self, key: str) -> bool:
        """Is there such an object?"""
        return bool(self._call(self._blob(key).exists))

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys that start with `prefix`, sorted."""
        blobs = self._call(lambda: list(self._bucket.list_blobs(prefix=self._prefix + prefix)))
        return iter(sorted(blob.name.removeprefix(self._prefix) for blob in blobs))

    def _blob(self, key: str) -> Any:
        return self._bucket.blob(self._prefix + key)

    def _call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        from google.api_core.exceptions import GoogleAPIError, NotFound
        from google.auth.exceptions import GoogleAuthError
        from requests.exceptions import RequestException

        try:
            return function(*args, **kwargs)
        except NotFound:
            raise
        except (GoogleAPIError, GoogleAuthError, RequestException) as exc:
            raise StorageError(f"The bucket {self._bucket.name} is away: {exc}.") from exc


def open_bucket(uri: str) -> Bucket:
    """The bucket behind a folder's path or `gs://bucket/prefix`."""
    if uri.startswith("gs://"):
        name, _, prefix = uri.removeprefix("gs://").partition("/")
        return GcsBucket(name, prefix)
    return LocalBucket(Path(uri).expanduser())


def dataset_image_key(published_split: str, path: str) -> str:
    """Where a training image is kept; `path` is `<class>/<file>`; without a published split it goes to Training."""
    return f"data/{published_split or 'Training'}/{path}"


def image_key(predicted_class: str, prediction_id: UUID) -> str:
    """Where an accepted upload is kept."""
    return f"InferenceLogs/ImageLogs/{predicted_class}/{prediction_id}.jpg"


def corrected_image_key(corrected_class: str, prediction_id: UUID) -> str:
    """Where an upload is kept whose class a reader corrected."""
    return f"InferenceLogs/ImageLogsWithFeedback/{corrected_class}/{prediction_id}.jpg"


def refused_image_key(prediction_id: UUID, extension: str) -> str:
    """Where an upload is kept that the gate refused; `extension` is `jpg` or `png`."""
    return f"InferenceLogs/ImageLogsForInvalidImages/{prediction_id}.{extension}"


def asset_key(asset: str, file: str) -> str:
    """Where an asset keeps one of its files."""
    return f"assets/{asset}/{file}"


def model_key(version: str, file: str) -> str:
    """Where an inference bundle keeps one of its files."""
    return f"models/{version}/{file}"


def drift_report_key(timestamp: str, extension: str) -> str:
    """Where a drift report is kept; `extension` is `json` or `html`."""
    return f"reports/drift/{timestamp}.{extension}"


def read_json(bucket: Bucket, key: str) -> dict[str, Any]:
    """The JSON object at `key`.

    Raises:
        ObjectNotFound: there is none.
        StorageError: the bucket is away, or the content is not a JSON object.
    """
    try:
        value = json.loads(bucket.read(key))
    except ValueError as exc:
        raise StorageError(f"The object {key!r} is not JSON: {exc}.") from exc
    if not isinstance(value, dict):
        raise StorageError(f"The object {key!r} is not a JSON object.")
    return value


def write_json(bucket: Bucket, key: str, value: dict[str, Any]) -> None:
    """Write a JSON object at `key`."""
    bucket.write(key, json.dumps(value, indent=2, sort_keys=True, allow_nan=False).encode())
