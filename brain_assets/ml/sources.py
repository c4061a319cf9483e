"""Where training images come from: the synthetic sample, or files in class folders (here, in the cloud, on Kaggle)."""

import csv
import hashlib
import io
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol

from brain_assets.ml.phantoms import GENERATOR_VERSION, SliceTruth, draw_slice, sample_paths, slice_truth
from brain_core.errors import SourceClassUnknown, SourceEmpty, SourceMissing, SourceNameInvalid
from brain_core.imaging import encode_jpeg
from brain_core.labels import CLASSES

SAMPLE_URI = "sample"
GCS_SCHEME = "gs://"
KAGGLE_SCHEME = "kaggle:"
PUBLISHED_SPLITS = ("Training", "Testing")
ANNOTATIONS_FILE = "annotations.csv"

SourceName = Literal["sample", "public", "own"]

_PUBLIC_FILE_NAME = re.compile(r"(Tr|Te)-(gl|me|no|pi)(Tr)?_\d+\.jpe?g", re.IGNORECASE)
_ANNOTATION_COLUMNS = ("file", "label", "plane", "x0", "y0", "x1", "y1")


@dataclass(frozen=True)
class SourceImage:
    """One file in a source.

    Attributes:
        path: relative to the source, with `/` between the parts.
        label: the class folder's name, one of `labels.CLASSES`.
        published_split: `Training`, `Testing`, or empty when the source has no such folders.
        mark: changes whenever the image is replaced; found without reading the image.
    """

    path: str
    label: str
    published_split: str
    mark: str = ""

    @property
    def path_in_split(self) -> str:
        """`<class>/<file>`, without the published split's folder."""
        return self.path.removeprefix(f"{self.published_split}/") if self.published_split else self.path


SourceImages = list[SourceImage]


class Source(Protocol):
    """Images with labels; nothing is kept open. Safe to use from several threads."""

    @property
    def name(self) -> SourceName:
        """What a model that is trained on it says about its provenance."""

    def list(self) -> SourceImages:
        """All images, sorted by path.

        Raises:
            SourceMissing: the source is not there or may not be read.
            SourceEmpty: it holds no image.
            SourceClassUnknown: it holds a folder that is not a class.
            SourceNameInvalid: a file's name is not UTF-8.
        """

    def read(self, image: SourceImage) -> bytes:
        """The bytes of one image.

        Raises:
            SourceMissing: the image is gone or may not be read.
        """

    def annotations(self) -> bytes | None:
        """What is known about the images beyond their labels: the content of `annotations.csv`, None without one.

        Its columns are those of `annotations.read_annotations`.

        Raises:
            SourceMissing: the source is not there or may not be read.
        """

    def annotations_mark(self) -> str:
        """A mark that changes whenever what `annotations` gives does; empty without annotations.

        Raises:
            SourceMissing: the source is not there or may not be read.
        """


class SampleSource:
    """The synthetic images of `phantoms`."""

    name: SourceName = "sample"

    def __init__(self, count: int = 320, seed: int = 0) -> None:
        self._count = count
        self._seed = seed

    @cached_property
    def _paths(self) -> dict[str, int]:
        return {path: index for index, path in enumerate(sample_paths(self._count))}

    def list(self) -> SourceImages:
        """All images, sorted by path."""
        parts = ((path, *path.split("/")) for path in sorted(self._paths))
        return [SourceImage(path, label, split, self.annotations_mark()) for path, split, label, _ in parts]

    def read(self, image: SourceImage) -> bytes:
        """Draw one image: JPEG bytes.

        Raises:
            SourceMissing: the sample has no such image.
        """
        if image.path not in self._paths:
            raise SourceMissing(f"The sample has no image {image.path!r}.")
        return encode_jpeg(draw_slice(self._paths[image.path], self._seed))

    def annotations(self) -> bytes:
        """Plane and lesion box of every image, from the same drawing."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(_ANNOTATION_COLUMNS)
        for image in self.list():
            truth = slice_truth(self._paths[image.path], self._seed)
            writer.writerow((image.path, image.label, truth.plane, *_box_columns(truth)))
        return table.getvalue().encode()

    def annotations_mark(self) -> str:
        """That of every image: both come from the same drawing."""
        return f"{GENERATOR_VERSION} {self._seed}"


class FileSource(ABC):
    """Files laid out as `Training|Testing/<class>/…` or as `<class>/…`; what is hidden (`.name`) is left out.

    Every file in a class folder is listed, whatever its name ends with: what cannot be decoded is reported later.
    """

    def __init__(self, location: str) -> None:
        self._location = location

    @cached_property
    def name(self) -> SourceName:
        """`public` when every file is named as in the public data set, else `own`."""
        is_public = all(_PUBLIC_FILE_NAME.fullmatch(PurePosixPath(image.path).name) for image in self.list())
        return "public" if is_public else "own"

    def list(self) -> SourceImages:
        """All images, sorted by path.

        Raises:
            SourceMissing: the source is not there or may not be read.
            SourceEmpty: it holds no image.
            SourceClassUnknown: it holds a folder that is not a class.
            SourceNameInvalid: a file's name is not UTF-8.
        """
        images = sorted(self._images(), key=lambda image: image.path)
        if not images:
            raise SourceEmpty(f"{self._location} holds no image. Put images into folders named {', '.join(CLASSES)}.")
        return images

    @abstractmethod
    def read(self, image: SourceImage) -> bytes:
        """The bytes of one image."""

    @abstractmethod
    def annotations(self) -> bytes | None:
        """The content of `annotations.csv`, None without one."""

    @abstractmethod
    def annotations_mark(self) -> str:
        """A mark of the content of `annotations.csv`, empty without one."""

    @abstractmethod
    def _folders(self, folder: str) -> Sequence[str]:
        """Names of the folders in a folder, sorted; the hidden ones may be among them."""

    @abstractmethod
    def _files(self, folder: str) -> Iterator[tuple[str, str]]:
        """Path and mark of all files below a folder; the hidden ones may be among them."""

    def _images(self) -> Iterator[SourceImage]:
        splits = [name for name in self._visible_folders("") if name in PUBLISHED_SPLITS]
        if splits:
            self._allowed_folders("", PUBLISHED_SPLITS)
        for split in splits or [""]:
            for label in self._allowed_folders(split, CLASSES):
                for path, mark in self._files(f"{split}/{label}".lstrip("/")):
                    if not _is_hidden(path):
                        yield SourceImage(_readable(path), label, split, mark)

    def _visible_folders(self, folder: str) -> Sequence[str]:
        return [name for name in self._folders(folder) if not _is_hidden(name)]

    def _allowed_folders(self, folder: str, allowed: tuple[str, ...]) -> Sequence[str]:
        folders = self._visible_folders(folder)
        unknown = [name for name in folders if name not in allowed]
        if unknown:
            raise SourceClassUnknown(
                f"{'/'.join(filter(None, (self._location, folder, unknown[0])))} is not one of {', '.join(allowed)}. "
                f"Rename the folder or take it out; the classes are {', '.join(CLASSES)}."
            )
        return folders


class FolderSource(FileSource):
    """Files in a folder of this machine; `annotations.csv` lies in it or beside it."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self._root = root

    def read(self, image: SourceImage) -> bytes:
        """The bytes of one image.

        Raises:
            SourceMissing: the image is gone or may not be read.
        """
        with _translated_errors(self._root / image.path):
            return (self._root / image.path).read_bytes()

    def annotations(self) -> bytes | None:
        """The content of `annotations.csv` in the folder, or else beside it; None without one.

        Raises:
            SourceMissing: it may not be read.
        """
        root = self._root.absolute()
        for file in (root / ANNOTATIONS_FILE, root.parent / ANNOTATIONS_FILE):
            with _translated_errors(file):
                if file.is_file():
                    return file.read_bytes()
        return None

    def annotations_mark(self) -> str:
        """The hash of the content of `annotations.csv`; empty without one.

        Raises:
            SourceMissing: it may not be read.
        """
        content = self.annotations()
        return "" if content is None else hashlib.sha256(content).hexdigest()

    def _folders(self, folder: str) -> Sequence[str]:
        with _translated_errors(self._root / folder):
            return sorted(entry.name for entry in (self._root / folder).iterdir() if entry.is_dir())

    def _files(self, folder: str) -> Iterator[tuple[str, str]]:
        def refuse(error: OSError) -> None:
            raise error

        with _translated_errors(self._root / folder):
            # Without `onerror`, a folder that may not be read would look empty.
            seen = {os.path.realpath(self._root / folder)}
            for parent, folders, names in os.walk(self._root / folder, onerror=refuse, followlinks=True):
                # A link may lead back to where it lies.
                folders[:] = [name for name in folders if _is_first(os.path.realpath(Path(parent, name)), seen)]
                for path in (Path(parent, name) for name in names):
                    yield path.relative_to(self._root).as_posix(), self._mark(path)

    def _mark(self, path: Path) -> str:
        with _translated_errors(path):
            status = path.stat()
        return f"{status.st_size} {status.st_mtime_ns}"


def open_source(uri: str, make_gcs_client: Callable[[], Any] | None = None) -> Source:
    """The source behind `sample`, a folder's path, `gs://bucket/prefix` or `kaggle:owner/dataset`.

    A Kaggle data set is downloaded here, once a version; the others are touched when they are used.

    Args:
        uri: as `BRAIN_SOURCE__URI`.
        make_gcs_client: makes the `google.cloud.storage.Client`; left out, it gets the environment's credentials.

    Raises:
        SourceMissing: the folder or the data set is not there or may not be read, or credentials are missing.
    """
    if uri == SAMPLE_URI:
        return SampleSource()
    if uri.startswith(GCS_SCHEME):
        from brain_assets.ml.cloud_sources import open_gcs_source

        return open_gcs_source(uri.removeprefix(GCS_SCHEME), make_gcs_client)
    if uri.startswith(KAGGLE_SCHEME):
        from brain_assets.ml.cloud_sources import open_kaggle_source

        return open_kaggle_source(uri.removeprefix(KAGGLE_SCHEME))
    return _open_folder(uri)


def _open_folder(uri: str) -> FolderSource:
    root = Path(uri).expanduser()
    with _translated_errors(root):
        if root.is_dir():
            return FolderSource(root)
    raise SourceMissing(
        f"The source {uri!r} is not a folder. Set BRAIN_SOURCE__URI to a folder, `sample`, `gs://bucket/prefix` "
        "or `kaggle:owner/dataset`."
    )


@contextmanager
def _translated_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as exc:
        raise SourceMissing(
            f"{path} may not be read: permission denied. Give the user that runs the pipeline the right to read it."
        ) from exc
    except OSError as exc:
        raise SourceMissing(f"{path} cannot be read: {exc.strerror}. Check that it is there and readable.") from exc


def _is_first(folder: str, seen: set[str]) -> bool:
    is_first = folder not in seen
    seen.add(folder)
    return is_first


def _readable(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError as exc:
        raise SourceNameInvalid(f"The name of {path!a} is not UTF-8. Rename the file.") from exc
    return path


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _box_columns(truth: SliceTruth) -> Sequence[str]:
    return [f"{edge:.4f}" for edge in truth.box] if truth.box else [""] * 4


def fingerprint(images: Iterable[SourceImage], annotations_mark: str = "") -> str:
    """Hash of path and mark of each image: another one when an image is added, removed or replaced.

    Args:
        images: all of them, in their order.
        annotations_mark: that of the annotations, where a change of theirs counts too.
    """
    lines = "\n".join([*(f"{image.path}\0{image.mark}" for image in images), *filter(None, [annotations_mark])])
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
