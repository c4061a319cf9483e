"""The bucket: where bytes are kept, and the layout of the keys.

Two kinds behind one protocol: `LocalBucket` (a folder) and `GcsBucket` (Google Cloud Storage).
"""

import functools
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeVar
from uuid import UUID

from brain_core.errors import ObjectNotFound, StorageError
from brain_core.labels import CLASSES

CHAMPION_KEY = "models/champion.json"
GCS_RETRY_S = 20.0
"""How long a call to Google Cloud Storage is tried again before the bucket counts as away."""

GCS_TIMEOUTS_S = (5.0, 30.0)
"""How long one try waits for the connection, and then for the next bytes."""

_Result = TypeVar("_Result")
_UNFINISHED = ".tmp-"


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

    def drop_unfinished(self, age_s: float) -> None:
        """Remove what writes left that were killed in the middle, at least `age_s` seconds ago."""


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
            try:
                _replace(path, data)
            except FileNotFoundError:
                self._make_folder(path.parent)
                _replace(path, data)
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
        folder = self._path(prefix.rpartition("/")[0])
        paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(_UNFINISHED))
        found = (path.relative_to(self.root).as_posix() for path in paths)
        return iter(sorted(key for key in found if key.startswith(prefix)))

    def drop_unfinished(self, age_s: float) -> None:
        """Remove what writes left that were killed in the middle, at least `age_s` seconds ago."""
        try:
            for path in self.root.rglob(f"{_UNFINISHED}*"):
                if path.stat().st_mtime <= time.time() - age_s:
                    path.unlink(missing_ok=True)
        except FileNotFoundError:
            return  # somebody else was faster; the next time finds the rest
        except OSError as exc:
            raise StorageError(f"The bucket {self.root} cannot be written: {exc.strerror}.") from exc

    def _path(self, key: str) -> Path:
        if key.startswith("/") or ".." in key.split("/"):
            raise StorageError(f"The key {key!r} points outside the bucket.")
        return self.root / key

    def _make_folder(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for parent in folder.parents:
            _sync_folder(parent)
            if parent == self.root:
                break


def _replace(path: Path, data: bytes) -> None:
    """Bytes and name are on the disk when this returns."""
    unfinished = path.parent / f"{_UNFINISHED}{secrets.token_hex(16)}"
    try:
        # Only this account reads what people sent.
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Flush the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class GcsBucket:
    """A bucket (or a prefix in one) on Google Cloud Storage; credentials are the environment's own.

    Beyond the protocol it can list what a source of images needs: folders, and a mark of change for each object.
    """

    def __init__(self, name: str, prefix: str = "", client: Any = None) -> None:
        # For its traces, also where none are made, the client would ask in a thread, again for two minutes, for what
        # the roles for objects may not read; it takes this from the environment alone.
        os.environ["DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"] = "true"  # noqa: TID251 - nothing is read
        self._bucket = (client or _gcs_client()).bucket(name)
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def read(self, key: str) -> bytes:
        """The object's bytes."""
        from google.api_core.exceptions import NotFound

        try:
            return bytes(self._call(self._blob(key).download_as_bytes))
        except NotFound as exc:
            self._require_bucket()
            raise ObjectNotFound(f"There is no object {key!r} in {self._bucket.name}.") from exc

    def write(self, key: str, data: bytes) -> None:
        """Create or replace the object."""
        from google.api_core.exceptions import NotFound

        try:
            self._call(self._blob(key).upload_from_string, data, content_type="application/octet-stream")
        except NotFound as exc:
            raise self._no_bucket() from exc

    def delete(self, key: str) -> None:
        """Remove the object if it is there."""
        from google.api_core.exceptions import NotFound

        try:
            self._call(self._blob(key).delete)
        except NotFound:
            self._require_bucket()

    def exists(self, key: str) -> bool:
        """Is there such an object?"""
        if self._call(self._blob(key).exists):
            return True
        self._require_bucket()
        return False

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys that start with `prefix`, sorted."""
        return iter(sorted(self.marks(prefix)))

    def drop_unfinished(self, age_s: float) -> None:
        """Nothing to do: an upload that was cut off leaves no object."""

    def marks(self, prefix: str) -> dict[str, str]:
        """A mark for each key that starts with `prefix`; it changes whenever the object's content does."""
        blobs, _ = self._list(prefix, fields="items(name,md5Hash,generation),nextPageToken")
        # Composed objects and those under a customer's own key come without a hash.
        return {blob.name.removeprefix(self._prefix): blob.md5_hash or str(blob.generation) for blob in blobs}

    def folders(self, prefix: str) -> list[str]:
        """Names between `prefix`, which is empty or ends with `/`, and the next `/` of the keys, sorted."""
        _, prefixes = self._list(prefix, delimiter="/", fields="items(name),prefixes,nextPageToken")
        return sorted(PurePosixPath(name).name for name in prefixes)

    def _list(self, prefix: str, **options: Any) -> tuple[list[Any], set[str]]:
        from google.api_core.exceptions import NotFound

        def all_pages() -> tuple[list[Any], set[str]]:
            pages = self._bucket.list_blobs(prefix=self._prefix + prefix, **_gcs_patience(), **options)
            return list(pages), pages.prefixes

        try:
            return self._translated(all_pages)
        except NotFound as exc:
            raise self._no_bucket() from exc

    def _require_bucket(self) -> None:
        # An absent bucket and an absent object give the same status, and only listing needs no further permission.
        self._list("", max_results=1)

    def _no_bucket(self) -> StorageError:
        return StorageError(f"There is no bucket {self._bucket.name!r}. Create it, or correct the gs:// address.")

    def _blob(self, key: str) -> Any:
        if key.startswith("/") or ".." in PurePosixPath(key).parts:
            raise StorageError(f"The key {key!r} points outside the bucket.")
        return self._bucket.blob(self._prefix + key)

    def _call(self, function: Callable[..., _Result], *args: Any, **kwargs: Any) -> _Result:
        return self._translated(functools.partial(function, *args, **_gcs_patience(), **kwargs))

    def _translated(self, function: Callable[[], _Result]) -> _Result:
        from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, Unauthorized
        from google.auth.exceptions import GoogleAuthError
        from requests.exceptions import RequestException

        try:
            return function()
        except NotFound:
            raise
        except (Forbidden, Unauthorized) as exc:
            raise StorageError(
                f"The bucket {self._bucket.name} refuses access: {exc.message}. "
                "Give this account the role Storage Object User on it (to read only: Storage Object Viewer)."
            ) from exc
        except (GoogleAPIError, GoogleAuthError, RequestException) as exc:
            raise StorageError(f"The bucket {self._bucket.name} is away: {exc}.") from exc


def _gcs_client() -> Any:
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage

    try:
        return storage.Client()
    except GoogleAuthError as exc:
        raise StorageError(f"There are no Google Cloud credentials: {exc}") from exc


def _gcs_patience() -> dict[str, Any]:
    from google.cloud.storage.retry import DEFAULT_RETRY

    # The client's own default is two minutes, longer than an upload or a sensor can wait.
    return {"retry": DEFAULT_RETRY.with_timeout(GCS_RETRY_S), "timeout": GCS_TIMEOUTS_S}


def open_bucket(uri: str) -> Bucket:
    """The bucket behind a folder's path or `gs://bucket/prefix`."""
    if uri.startswith("gs://"):
        name, _, prefix = uri.removeprefix("gs://").partition("/")
        return GcsBucket(name, prefix)
    return LocalBucket(Path(uri).expanduser())


def dataset_image_key(published_split: str, path: str) -> str:
    """Where a training image is kept; `path` is `<class>/<file>`; without a published split it goes to Training."""
    return f"data/{published_split or 'Training'}/{path}"


UPLOAD_FOLDERS = (
    *(f"InferenceLogs/ImageLogs/{name}" for name in CLASSES),
    "InferenceLogs/ImageLogsForInvalidImages",
)
"""Where an upload is written first; corrected ones are moved on from there."""


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
