"""`platform.json` in BRAIN_HOME: what runs there, for `brain status`, `brain down` and the next `brain up`."""

import contextlib
import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from brain_cli.processes import ProcessId

FILE_NAME = "platform.json"
Phase = Literal["starting", "running", "stopping"]


class PartRecord(BaseModel):
    """One process.

    Attributes:
        name: of the part.
        process: which one it is.
        title: how it is announced; empty when there is nothing to open.
        url: its address; empty when it listens nowhere.
        ready_url: answers 200 when it is ready; empty when `ready_at` tells.
        ready_at: when it was ready for the first time, seconds since 1970; None before.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    process: ProcessId
    title: str = ""
    url: str = ""
    ready_url: str = ""
    ready_at: float | None = None


class PlatformRecord(BaseModel):
    """A platform that was started.

    Attributes:
        supervisor: the process of `brain up`.
        phase: what it does.
        parts: the processes that it started.
    """

    model_config = ConfigDict(frozen=True)

    supervisor: ProcessId
    phase: Phase = "starting"
    parts: tuple[PartRecord, ...] = ()

    def url_of(self, title: str) -> str:
        """Address of the part that is announced so; empty when it was not started."""
        return next((part.url for part in self.parts if part.title == title), "")


def read_record(home: Path) -> PlatformRecord | None:
    """What the newest platform on `home` wrote; None when it ended in order or the file cannot be understood."""
    try:
        return PlatformRecord.model_validate_json((home / FILE_NAME).read_bytes())
    except (OSError, ValidationError):
        return None


def write_record(home: Path, record: PlatformRecord) -> None:
    """Replace the record as a whole: a reader sees the old one or the new one."""
    new = home / f".{FILE_NAME}.new"
    new.write_text(record.model_dump_json(indent=2))
    os.replace(new, home / FILE_NAME)


def remove_record(home: Path) -> None:
    """Forget the platform; it ended."""
    with contextlib.suppress(FileNotFoundError):
        (home / FILE_NAME).unlink()
