"""Where training images come from: the synthetic sample, or a folder with class folders."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from brain_assets.ml.phantoms import GENERATOR_VERSION, draw_slice, sample_paths
from brain_core.errors import SourceClassUnknown, SourceEmpty, SourceMissing
from brain_core.imaging import encode_jpeg
from brain_core.labels import CLASSES

SAMPLE_URI = "sample"
PUBLISHED_SPLITS = ("Training", "Testing")

SourceName = Literal["sample", "public", "own"]

_PUBLIC_FILE_NAME = re.compile(r"(Tr|Te)-(gl|me|no|pi)(Tr)?_\d+\.jpe?g", re.IGNORECASE)


@dataclass(frozen=True)
class SourceImage:
    """One file in a source.

    Attributes:
        path: relative to the source, with `/` between the parts.
        label: the class folder's name, one of `labels.CLASSES`.
        published_split: `Training`, `Testing`, or empty when the source has no such folders.
    """

    path: str
    label: str
    published_split: str

    @property
    def path_in_split(self) -> str:
        """`<class>/<file>`, without the published split's folder."""
        return self.path.removeprefix(f"{self.published_split}/") if self.published_split else self.path


SourceImages = list[SourceImage]


class Source(Protocol):
    """Images with labels; nothing is kept open."""

    @property
    def name(self) -> SourceName:
        """What a model that is trained on it says about its provenance."""

    def list(self) -> SourceImages:
        """All images, sorted by path.

        Raises:
            SourceMissing: the source is not there or may not be read.
            SourceEmpty: it holds no image.
            SourceClassUnknown: it holds a folder that is not a class.
        """

    def read(self, image: SourceImage) -> bytes:
        """The bytes of one image.

        Raises:
            SourceMissing: the image is gone or may not be read.
        """

    def fingerprint(self) -> str:
        """Hash that changes when an image is added, removed or replaced; reads no image. Raises as `list` does."""


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
        return [SourceImage(path, label, split) for path, split, label, _ in parts]

    def read(self, image: SourceImage) -> bytes:
        """Draw one image: JPEG bytes.

        Raises:
            SourceMissing: the sample has no such image.
        """
        if image.path not in self._paths:
            raise SourceMissing(f"The sample has no image {image.path!r}.")
        return encode_jpeg(draw_slice(self._paths[image.path], self._seed))

    def fingerprint(self) -> str:
        """Hash of what the images are drawn from."""
        return _hash([f"sample {GENERATOR_VERSION} {self._count} {self._seed}"])


class FolderSource:
    """A folder laid out as `Training|Testing/<class>/…` or as `<class>/…`; hidden files are left out.

    Every file in a class folder is listed, whatever its name ends with: what cannot be decoded is reported later.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def name(self) -> SourceName:
        """`public` when every file is named as in the public data set, else `own`."""
        is_public = all(_PUBLIC_FILE_NAME.fullmatch(PurePosixPath(image.path).name) for image in self.list())
        return "public" if is_public else "own"

    def list(self) -> SourceImages:
        """All images, sorted by path.

        Raises:
            SourceMissing: the folder is not there or may not be read.
            SourceEmpty: it holds no image.
            SourceClassUnknown: it holds a folder that is not a class.
        """
        images = sorted(self._images(), key=lambda image: image.path)
        if not images:
            raise SourceEmpty(f"{self._root} holds no image. Put images into folders named {', '.join(CLASSES)}.")
        return images

    def read(self, image: SourceImage) -> bytes:
        """The bytes of one image.

        Raises:
            SourceMissing: the image is gone or may not be read.
        """
        with _translated_errors(self._root / image.path):
            return (self._root / image.path).read_bytes()

    def fingerprint(self) -> str:
        """Hash of path, size and time of change of every file. Raises as `list` does."""
        return _hash(f"{image.path}\0{self._size_and_time(image)}" for image in self.list())

    def _images(self) -> Iterator[SourceImage]:
        splits = [name for name in _folders(self._root) if name in PUBLISHED_SPLITS]
        if splits:
            _refuse_unknown_folders(self._root, PUBLISHED_SPLITS)
        for split in splits or [""]:
            _refuse_unknown_folders(self._root / split, CLASSES)
            for label in _folders(self._root / split):
                for file in _files(self._root / split / label):
                    yield SourceImage(file.relative_to(self._root).as_posix(), label, split)

    def _size_and_time(self, image: SourceImage) -> str:
        with _translated_errors(self._root / image.path):
            status = (self._root / image.path).stat()
        return f"{status.st_size} {status.st_mtime_ns}"


def open_source(uri: str) -> Source:
    """The source behind `sample` or a folder's path.

    Raises:
        SourceMissing: the folder is not there.
    """
    if uri == SAMPLE_URI:
        return SampleSource()
    root = Path(uri).expanduser()
    if not root.is_dir():
        raise SourceMissing(f"The source {uri!r} is not a folder. Set BRAIN_SOURCE__URI to a folder or to `sample`.")
    return FolderSource(root)


@contextmanager
def _translated_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise SourceMissing(f"{path} cannot be read: {exc.strerror}. Check that it is there and readable.") from exc


def _folders(folder: Path) -> list[str]:
    with _translated_errors(folder):
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _refuse_unknown_folders(folder: Path, allowed: tuple[str, ...]) -> None:
    unknown = [name for name in _folders(folder) if name not in allowed]
    if unknown:
        raise SourceClassUnknown(
            f"{folder / unknown[0]} is not one of {', '.join(allowed)}. Rename the folder or take it out; "
            f"the classes are {', '.join(CLASSES)}."
        )


def _files(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise error

    with _translated_errors(folder):
        # Without `onerror`, a folder that may not be read would look empty.
        for parent, _, names in os.walk(folder, onerror=refuse):
            yield from (Path(parent, name) for name in names if not name.startswith("."))


def _hash(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
