"""Structured logs: ECS events as NDJSON, on standard output and in a durable spool.

Any module logs with `logging.getLogger(__name__)` and dotted field names:
`logger.info("predicted", extra={"event.action": "predict", "brain.prediction.id": str(id)})`.
The field names are the Elastic Common Schema's; ours start with `brain.` (`elk/index-template.json` lists them).
"""

import logging
import math
import sys
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import numpy as np
import uuid6
from ecs_logging import StdlibFormatter

from brain_core.errors import SettingsError
from brain_core.settings import Settings

SPOOL_PATTERN = "*.ndjson"
MAX_FILE_BYTES = 16 * 2**20
"""Size at which a process goes on in a new spool file."""

MAX_FILES = 32
"""Spool files that a process keeps of its own: a log that nobody fetches must not fill the disk."""

OWN_PACKAGES = ("brain_core", "brain_cli", "brain_assets", "serving", "dashboard")
"""Packages whose loggers follow `settings.logs.level`."""

_MAX_DEPTH = 6


def configure_logging(settings: Settings, service: str, to_stdout: bool = True) -> None:
    """Send this process's log events to the spool and to standard output; repeating it changes nothing.

    Own packages log from `settings.logs.level`, all others from WARNING; Python warnings become events.

    Args:
        settings: the platform's settings.
        service: name of the process's part, letters only (`serving`, `dashboard`, `pipeline`).
        to_stdout: False where standard output belongs to a person.

    Raises:
        SettingsError: the spool's folder cannot be made.
    """
    root = logging.getLogger()
    wanted = (settings.spool_path, service, to_stdout)
    for handler in [h for h in root.handlers if isinstance(h, SpoolHandler)]:
        if (handler.folder, handler.service, handler.to_stdout) == wanted:
            return
        root.removeHandler(handler)
        handler.close()
    handler = SpoolHandler(*wanted)
    handler.setFormatter(EventFormatter(service, settings.environment))
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for package in OWN_PACKAGES:
        logging.getLogger(package).setLevel(settings.logs.level)
    # Serving logs each request itself, without addresses and query strings.
    logging.getLogger("uvicorn.access").disabled = True
    logging.captureWarnings(True)


class EventFormatter(StdlibFormatter):
    """One ECS event a record, with `event.id` (uuid7); whatever was logged, the line is valid JSON."""

    def __init__(self, service: str, environment: str) -> None:
        super().__init__(
            exclude_fields=["log.original"],
            extra={
                "service.name": service,
                "service.environment": environment,
                "event.dataset": f"brain.{service}",
            },
        )

    def format_to_ecs(self, record: logging.LogRecord) -> dict[str, Any]:
        """The event as nested dictionaries of plain JSON values."""
        try:
            event: dict[str, Any] = super().format_to_ecs(record)
        except (TypeError, ValueError, KeyError, RecursionError) as exc:
            # Fields that contradict each other or a message that lacks its arguments: keep what can be kept.
            event = super().format_to_ecs(_without_extras(record))
            event["error"] = {"type": type(exc).__name__, "message": f"The event's fields cannot be logged: {exc}"}
        event["event"]["id"] = str(uuid6.uuid7())
        return {str(key): _plain(value) for key, value in event.items()}


class SpoolHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Appends each event to a spool file of this process alone, then to standard output.

    A line is handed to the operating system before the next one: it survives the end of the process, though not a
    power failure. The file is made with its first event; beyond `MAX_FILES` full ones the oldest is given up.
    """

    def __init__(self, folder: Path, service: str, to_stdout: bool) -> None:
        self.folder, self.service, self.to_stdout = folder, service, to_stdout
        self._file: IO[str] | None = None
        self._paths: list[Path] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise SettingsError(f"BRAIN_HOME: the log spool {folder} cannot be made: {exc.strerror}.") from exc
        super().__init__(stream=self)

    def write(self, text: str) -> None:
        """Write one line; standard output gets it even when the disk is full."""
        try:
            file = self._open()
            file.write(text)
            file.flush()
        finally:
            if self.to_stdout:
                sys.stdout.write(text)

    def flush(self) -> None:
        """Flush standard output; the spool is flushed with each line."""
        if self.to_stdout:
            sys.stdout.flush()

    def close(self) -> None:
        """Close the spool file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()

    def _open(self) -> IO[str]:
        if self._file is not None and self._file.tell() >= MAX_FILE_BYTES:
            self._file.close()
            self._file = None
        if self._file is None:
            self._paths.append(self.folder / f"{self.service}-{uuid6.uuid7()}.ndjson")
            self._file = self._paths[-1].open("a", encoding="utf-8")
            if len(self._paths) > MAX_FILES:
                self._paths.pop(0).unlink(missing_ok=True)
        return self._file


def _without_extras(record: logging.LogRecord) -> logging.LogRecord:
    bare = logging.LogRecord(
        record.name, record.levelno, record.pathname, record.lineno, str(record.msg), None, record.exc_info
    )
    bare.created, bare.msecs = record.created, record.msecs
    return bare


def _plain(value: Any, depth: int = 0) -> Any:
    """The value as JSON can carry it; foreign objects give their type only, so that none can fail or leak."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth < _MAX_DEPTH and isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth + 1) for item in value]
    return _described(value)


def _described(value: Any) -> Any:
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID | Path):
        return str(value)
    if isinstance(value, Enum):
        return _plain(value.value)
    return f"<{type(value).__name__}>"
