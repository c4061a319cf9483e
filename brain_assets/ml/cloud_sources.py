"""Sources away from this machine: Google Cloud Storage and Kaggle."""

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from brain_assets.ml.sources import ANNOTATIONS_FILE, FileSource, FolderSource, SourceImage
from brain_core.errors import ObjectNotFound, SourceMissing, StorageError
from brain_core.storage import GcsBucket

if TYPE_CHECKING:
    from kagglehub.exceptions import KaggleApiHTTPError

_KAGGLE_HANDLE = re.compile(r"[\w-]+/[\w-]+(/versions/\d+)?")

_download_lock = threading.Lock()


class GcsSource(FileSource):
    """Objects under a prefix of a bucket on Google Cloud Storage; `annotations.csv` lies under the prefix."""

    def __init__(self, location: str, bucket: GcsBucket) -> None:
        super().__init__(location)
        self._bucket = bucket

    def read(self, image: SourceImage) -> bytes:
        """The bytes of one image.

        Raises:
            SourceMissing: the image is gone or may not be read.
        """
        try:
            with _translated_errors():
                return self._bucket.read(image.path)
        except ObjectNotFound as exc:
            raise SourceMissing(f"{self._location}/{image.path} is gone. List the source again.") from exc

    def annotations(self) -> bytes | None:
        """The content of `annotations.csv`, None without one.

        Raises:
            SourceMissing: the bucket is not there or may not be read.
        """
        try:
            with _translated_errors():
                return self._bucket.read(ANNOTATIONS_FILE)
        except ObjectNotFound:
            return None

    def annotations_mark(self) -> str:
        """The bucket's own mark of `annotations.csv`, which is not read; empty without one.

        Raises:
            SourceMissing: the bucket is not there or may not be read.
        """
        with _translated_errors():
            return self._bucket.marks(ANNOTATIONS_FILE).get(ANNOTATIONS_FILE, "")

    def _folders(self, folder: str) -> Sequence[str]:
        with _translated_errors():
            return self._bucket.folders(f"{folder}/" if folder else "")

    def _files(self, folder: str) -> Iterator[tuple[str, str]]:
        with _translated_errors():
            marks = self._bucket.marks(f"{folder}/")
        # Consoles make an empty object named like the folder to show it.
        return ((path, mark) for path, mark in marks.items() if not path.endswith("/"))


class KaggleSource(FolderSource):
    """A version of a Kaggle data set in kagglehub's cache: `…/versions/<version>`."""

    def _mark(self, path: Path) -> str:
        # A version never changes, whereas every machine that downloads it gives the files times of its own.
        return f"{self._root.name} {super()._mark(path).partition(' ')[0]}"


def open_gcs_source(address: str, make_client: Callable[[], Any] | None = None) -> GcsSource:
    """The source at `bucket/prefix`; nothing is fetched yet.

    Raises:
        SourceMissing: there are no credentials.
    """
    from google.auth.exceptions import GoogleAuthError

    name, _, prefix = address.rstrip("/").partition("/")
    if not name:
        raise SourceMissing("The source gs:// names no bucket. Set BRAIN_SOURCE__URI to gs://bucket/prefix.")
    try:
        with _translated_errors():
            bucket = GcsBucket(name, prefix, make_client() if make_client else None)
    except GoogleAuthError as exc:
        raise SourceMissing(f"There are no Google Cloud credentials: {exc}") from exc
    return GcsSource(f"gs://{address.rstrip('/')}", bucket)


def open_kaggle_source(handle: str) -> KaggleSource:
    """The data set `owner/dataset`, or one version of it: `owner/dataset/versions/3`.

    A version that is not in kagglehub's cache is downloaded; without a version in the handle, Kaggle is asked each
    time which one is current.

    Raises:
        SourceMissing: there is no such data set, Kaggle refuses or cannot be reached, or the download went wrong.
    """
    import kagglehub

    if not _KAGGLE_HANDLE.fullmatch(handle):
        raise SourceMissing(
            f"The source kaggle:{handle} names no data set. "
            "Write kaggle:owner/dataset or kaggle:owner/dataset/versions/1."
        )
    # Two at once would write the same files.
    with _download_lock, _translated_kaggle_errors(handle):
        return KaggleSource(Path(kagglehub.dataset_download(handle)))


@contextmanager
def _translated_kaggle_errors(handle: str) -> Iterator[None]:
    from kagglehub.exceptions import BackendError, CredentialError, DataCorruptionError, KaggleApiHTTPError
    from requests.exceptions import RequestException

    try:
        yield
    except KaggleApiHTTPError as exc:
        raise SourceMissing(_kaggle_refusal(handle, exc)) from exc
    except RequestException as exc:
        raise SourceMissing(
            f"Kaggle cannot be reached: {exc}. Check the network. "
            "A version that was downloaded before needs none if it is named: kaggle:owner/dataset/versions/1."
        ) from exc
    except (BackendError, CredentialError, DataCorruptionError, BadZipFile, ValueError) as exc:
        raise SourceMissing(f"The Kaggle data set {handle!r} could not be downloaded: {exc}.") from exc
    except OSError as exc:
        raise SourceMissing(f"The Kaggle data set {handle!r} could not be kept: {exc}.") from exc


def _kaggle_refusal(handle: str, error: "KaggleApiHTTPError") -> str:
    status = error.response.status_code if error.response is not None else 0
    if status in {401, 403}:
        return (
            f"Kaggle refuses the data set {handle!r}: it is not public, or there is none of this name. "
            "Check the name, or set KAGGLE_API_TOKEN to a token of an account that may read it."
        )
    if status == 404:
        return f"Kaggle has no data set {handle!r}. Check owner, name and version."
    return f"Kaggle answered with an error for {handle!r}: {error}."


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except ObjectNotFound:
        raise
    except StorageError as exc:
        raise SourceMissing(f"The source cannot be used: {exc}") from exc
