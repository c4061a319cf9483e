"""Which image files the paths, folders and patterns of a command line mean, and reading one of them."""

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from brain_core.errors import ImageTooLarge, UndecodableImage

SUFFIXES = (".jpg", ".jpeg", ".png")
"""How the names of images end, in any case; a file that is named itself may have any name."""


@dataclass(frozen=True)
class Unreadable:
    """A path that could not be used.

    Attributes:
        path: as it was given or found.
        error: a sentence.
    """

    path: str
    error: str

    def as_record(self) -> dict[str, str]:
        """Path and error, ready for JSON."""
        return {"path": printable(self.path), "error": self.error}


@dataclass(frozen=True)
class Found:
    """What paths mean.

    Attributes:
        files: each once, in the order of the paths; those of a folder are sorted.
        unreadable: paths where nothing is, and folders that may not be read.
        empty: folders and patterns that hold no image.
    """

    files: list[str] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)


def find_images(paths: Iterable[str]) -> Found:
    """The files that paths mean.

    A path is a folder, of which all files below it count that are named as JPEG or PNG and are not hidden (`.name`);
    or a file, whatever its name; or, where there is neither, a pattern such as `scans/**/*.jpg`. Links to folders are
    followed, also in a circle: every folder is looked into once.
    """
    found = Found()
    known: set[str] = set()
    for path in paths:
        files = list(_files_of(path, found.unreadable))
        if not files and not any(problem.path == path for problem in found.unreadable):
            found.empty.append(path)
        for file in files:
            place = os.path.abspath(file)
            if place not in known:
                known.add(place)
                found.files.append(file)
    return found


def read_bounded(path: str, max_bytes: int) -> bytes:
    """A regular file's bytes.

    Raises:
        ImageTooLarge: it has more than `max_bytes`; it was not read.
        UndecodableImage: it is not there, may not be read, or is a folder, a pipe or a device.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            _check_kind_and_size(status, max_bytes)
            return file.read(max_bytes + 1)
    except OSError as exc:
        raise UndecodableImage(f"The file cannot be read: {exc.strerror}.") from exc


def printable(path: str) -> str:
    """A path as text that can be written anywhere: bytes that are not UTF-8 become escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def without_controls(text: str) -> str:
    """Text for a terminal: line breaks and control characters, which a file's name may hold, as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _files_of(path: str, unreadable: list[Unreadable]) -> Iterator[str]:
    try:
        status = os.stat(path)
    except OSError as exc:
        yield from _matching_or_broken(path, exc, unreadable)
        return
    if stat.S_ISDIR(status.st_mode):
        yield from _files_below(path, unreadable)
    else:
        yield path


def _matching_or_broken(path: str, error: OSError, unreadable: list[Unreadable]) -> Iterator[str]:
    if os.path.lexists(path) or not glob.has_magic(path):
        unreadable.append(Unreadable(path, f"It cannot be read: {error.strerror}."))
        return
    for match in sorted(glob.iglob(path, recursive=True)):
        if os.path.isdir(match):
            yield from _files_below(match, unreadable)
        elif _is_image_name(match):
            yield match


def _files_below(root: str, unreadable: list[Unreadable]) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        unreadable.append(Unreadable(os.fspath(error.filename), f"The folder cannot be read: {error.strerror}."))

    entered = {os.path.realpath(root)}
    for folder, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        folders[:] = [name for name in sorted(folders) if _is_to_enter(folder, name, entered)]
        yield from (os.path.join(folder, name) for name in sorted(names) if _is_image_name(name))


def _is_to_enter(folder: str, name: str, entered: set[str]) -> bool:
    place = os.path.realpath(os.path.join(folder, name))
    if name.startswith(".") or place in entered:
        return False
    entered.add(place)
    return True


def _is_image_name(path: str) -> bool:
    name = os.path.basename(path)
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _without_waiting(path: str, flags: int) -> int:
    # Opening a pipe would otherwise wait for somebody to write into it.
    return os.open(path, flags | os.O_NONBLOCK)


def _check_kind_and_size(status: os.stat_result, max_bytes: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UndecodableImage("It is not a file but a folder, a pipe or a device.")
    if status.st_size > max_bytes:
        raise ImageTooLarge(f"The file has {status.st_size} bytes; at most {max_bytes} are accepted.")
