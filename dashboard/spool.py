"""The log view's reading side: ECS events from the NDJSON spool, through DuckDB."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd

from brain_core.errors import StorageError
from brain_core.events import SPOOL_PATTERN

MAX_ROWS = 500
COLUMNS = {
    "time": "@timestamp",
    "level": "log.level",
    "service": "service.name",
    "action": "event.action",
    "outcome": "event.outcome",
    "message": "message",
    "prediction_id": "brain.prediction.id",
    "error": "error.message",
}
"""Column of the view to ECS field."""


def _field(ecs: str) -> str:
    # A field's name is written with dots or as nested objects.
    paths = (ecs, ecs.replace(".", '"."'))
    return "coalesce({}, {})".format(*(f"""json_extract_string(json, '$."{path}"')""" for path in paths))


_FIELDS = ", ".join(f"{_field(ecs)} AS {name}" for name, ecs in {**COLUMNS, "id": "event.id"}.items())
_SOURCE = f"WITH events AS (SELECT {_FIELDS} FROM read_ndjson_objects($1, ignore_errors = true)) "  # noqa: S608 - constants
_EVENTS = """
SELECT * EXCLUDE (id) FROM events
WHERE time IS NOT NULL
    AND ($2 = '' OR service = $2)
    AND ($3 = '' OR upper(level) = upper($3))
    AND ($4 = '' OR contains(lower(concat_ws(' ', message, error)), lower($4)))
    AND ($5 = '' OR prediction_id = $5)
ORDER BY time DESC, id DESC
LIMIT $6
"""
_SERVICES = "SELECT DISTINCT service FROM events WHERE service IS NOT NULL ORDER BY service"
_LOCAL: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


@dataclass(frozen=True)
class EventFilter:
    """Which events are wanted; an empty field wants all.

    Attributes:
        text: occurs in the message or the error, whatever the case.
    """

    service: str = ""
    level: str = ""
    text: str = ""
    prediction_id: str = ""


def read_events(folder: Path, wanted: EventFilter, limit: int = MAX_ROWS) -> pd.DataFrame:
    """The newest events that the filter lets through, newest first, with the columns of `COLUMNS`.

    A line that is not (yet) a JSON object is left out; a folder that is not there has no events.

    Raises:
        StorageError: the spool cannot be read.
    """
    parameters: list[str | int] = [
        wanted.service,
        wanted.level,
        wanted.text.strip(),
        wanted.prediction_id.strip().lower(),
        limit,
    ]
    frame = _select(folder, _EVENTS, parameters)
    frame["time"] = pd.to_datetime(frame["time"], utc=True, errors="coerce", format="ISO8601")
    return frame


def services(folder: Path) -> list[str]:
    """Names of the services that have logged, sorted."""
    return [str(name) for name in _select(folder, _SERVICES, [])["service"]]


def _select(folder: Path, query: str, parameters: list[str | int]) -> pd.DataFrame:
    # The files are listed here, not by DuckDB, whose own pattern finds an empty folder to be an error.
    files = sorted(str(path) for path in folder.glob(SPOOL_PATTERN))
    if not files:
        return pd.DataFrame(columns=list(COLUMNS))
    try:
        with duckdb.connect(config=_LOCAL) as connection:
            return connection.execute(_SOURCE + query, [files, *parameters]).df()
    except duckdb.Error as exc:
        raise StorageError(f"The log spool {folder} cannot be read: {str(exc).splitlines()[0]}.") from exc
