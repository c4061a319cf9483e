"""The log file of each part: one file a start, the one before it kept, neither without bounds."""

import os
import shutil
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 10 * 2**20
"""A log that grows beyond this is moved to `….log.1`, over the one that was there."""

LINES_SHOWN = 15
_TAIL_BYTES = 64 * 2**10


class PartLog:
    """The log of one part.

    Args:
        path: `….log`; the log before it is `….log.1`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.former = path.with_name(f"{path.name}.1")

    def open(self) -> BinaryIO:
        """Begin a new log; a process that gets the file appends, so that `bound` may empty it meanwhile."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            os.replace(self.path, self.former)
        return self.path.open("ab")

    def bound(self, max_bytes: int = MAX_BYTES) -> None:
        """Move what was written to the former log when it is more than `max_bytes`.

        The process keeps its file open, so the text is copied and the file emptied; lines written in between are lost.
        """
        if self.path.exists() and self.path.stat().st_size > max_bytes:
            shutil.copyfile(self.path, self.former)
            os.truncate(self.path, 0)

    def holds(self, line: str) -> bool:
        """Is this text in the current log?"""
        return self.path.exists() and line.encode() in self.path.read_bytes()

    def last_lines(self) -> str:
        """The newest lines, indented, for a message."""
        lines = self._tail().splitlines()[-LINES_SHOWN:]
        return "\n".join(f"  {line}" for line in lines) or "  (no output)"

    def _tail(self) -> str:
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return file.read().decode(errors="replace")
