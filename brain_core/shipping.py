"""Delivers the log spool to Elasticsearch: nothing lost, nothing twice.

Every event is created under `_id` = `event.id`, so that a repeated delivery is refused with 409 and counts as done.
The cursor (how far each spool file is delivered) moves after Elasticsearch acknowledged. What Elasticsearch can never
take goes to the dead-letter file. `_id` is unique in one backing index: a replay across a rollover can duplicate.
"""

import json
import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import Any
from uuid import UUID

from elasticsearch import ApiError, TransportError
from elasticsearch.helpers import streaming_bulk

from brain_core.elasticsearch_setup import open_client
from brain_core.errors import DeliveryError
from brain_core.events import SPOOL_PATTERN
from brain_core.settings import Settings

CURSOR_FILE = "cursor.json"
DEAD_LETTER_FILE = "dead-letter.jsonl"
BATCH_EVENTS = 500
ATTEMPTS = 4
MAX_WAIT_S = 60.0

_NAME = re.compile(r"[a-z0-9_]+")
_UNAVAILABLE = frozenset({429, 500, 502, 503, 504})
_NOT_SET_UP = frozenset({401, 403, 404})
"""Refusals that the operator can mend: the event must wait, not die."""

logger = logging.getLogger(__name__)


@dataclass
class ShipReport:
    """What one delivery did.

    Attributes:
        delivered: events that Elasticsearch took now.
        duplicates: events that it had already.
        dead: lines that it can never take; they are in the dead-letter file.
    """

    delivered: int = 0
    duplicates: int = 0
    dead: int = 0


class Shipper:
    """Delivers the spool files of a folder, and is the only one that does.

    Args:
        settings: name Elasticsearch, which must have the index template (`elasticsearch_setup.set_up`), and the
            spool's folder, where the cursor and the dead letters are kept too.
        backoff_s: seconds before the second attempt at a batch; doubles each time.

    Raises:
        SettingsError: no Elasticsearch is set.
    """

    def __init__(self, settings: Settings, backoff_s: float = 1.0) -> None:
        # The client's own repetitions come without a pause, and would multiply with ours.
        self._client = open_client(settings).options(max_retries=0)
        self._spool_path = settings.spool_path
        self._interval_s = settings.logs.ship_interval_s
        self._backoff_s = backoff_s

    def ship_once(self) -> ShipReport:
        """Deliver every complete line that the cursor has not passed.

        Raises:
            DeliveryError: Elasticsearch is away, overloaded or not set up, or the spool cannot be read or written; the
                cursor stays before the failed batch.
        """
        try:
            return self._ship()
        except OSError as exc:
            raise DeliveryError(f"The log spool {self._spool_path} cannot be used: {exc}.") from exc

    def run(self, stop: threading.Event) -> None:
        """Deliver every `logs.ship_interval_s` seconds until `stop` is set; more rarely while Elasticsearch is away."""
        wait_s = self._interval_s
        while not stop.is_set():
            try:
                self._log(self.ship_once())
                wait_s = self._interval_s
            except DeliveryError as exc:
                wait_s = min(wait_s * 2, max(MAX_WAIT_S, self._interval_s))
                logger.warning("%s Next attempt in %.0f s.", exc, wait_s, extra={"event.action": "ship"})
            stop.wait(wait_s)

    def _ship(self) -> ShipReport:
        report = ShipReport()
        paths = sorted(self._spool_path.glob(SPOOL_PATTERN))
        known = self._read_cursor()
        cursor = {path.name: known.get(path.name, 0) for path in paths}
        for path in paths:
            for lines, end in _batches(path, cursor[path.name]):
                self._deliver(lines, report)
                cursor[path.name] = end
                _replace(self._spool_path / CURSOR_FILE, json.dumps(cursor, indent=1))
        return report

    def _log(self, report: ShipReport) -> None:
        # A success is not logged: its event would be the next thing to deliver, for ever.
        if report.dead:
            text = "%d log lines went to the dead letters."
            logger.error(text, report.dead, extra={"event.action": "ship", "event.outcome": "failure"})

    def _deliver(self, lines: list[bytes], report: ShipReport) -> None:
        actions, dead = _read(lines)
        sources = {action["_id"]: action["_source"] for action in actions}
        for result in self._bulk(actions):
            status = result["status"]
            if status == 409:
                report.duplicates += 1
            elif 200 <= status < 300:
                report.delivered += 1
            elif status in _UNAVAILABLE or status in _NOT_SET_UP:
                raise DeliveryError(f"Elasticsearch did not take a log event: {_reason(result)}.{_hint(status)}")
            else:
                dead.append(_letter(_reason(result), sources[result["_id"]]))
        self._bury(dead)
        report.dead += len(dead)

    def _bulk(self, actions: list[dict[str, Any]], attempt: int = 1) -> list[dict[str, Any]]:
        # streaming_bulk repeats what Elasticsearch was too busy for; lost connections are ours to repeat.
        results = streaming_bulk(
            self._client,
            actions,
            raise_on_error=False,
            max_retries=ATTEMPTS - 1,
            initial_backoff=self._backoff_s,
            retry_on_status=_UNAVAILABLE,
            require_data_stream=True,
        )
        try:
            return [result["create"] for _, result in results]
        except ApiError as exc:
            raise DeliveryError(f"Elasticsearch refused the log events: {exc}.{_hint(exc.status_code)}") from exc
        except TransportError as exc:
            if attempt == ATTEMPTS:
                raise DeliveryError(f"Elasticsearch is away: {exc}.") from exc
        time.sleep(self._backoff_s * 2 ** (attempt - 1))
        return self._bulk(actions, attempt + 1)

    def _bury(self, dead: list[dict[str, Any]]) -> None:
        if dead:
            with (self._spool_path / DEAD_LETTER_FILE).open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(letter) + "\n" for letter in dead)
                file.flush()
                os.fsync(file.fileno())

    def _read_cursor(self) -> dict[str, int]:
        path = self._spool_path / CURSOR_FILE
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
        except ValueError as exc:
            raise DeliveryError(
                f"{path} is damaged: {exc}. Remove it: what was delivered is not stored twice."
            ) from exc


def _batches(path: Path, start: int) -> Iterator[tuple[list[bytes], int]]:
    """Complete lines from byte `start`, with the byte after the last; a half-written line waits for its rest."""
    with path.open("rb") as file:
        file.seek(start)
        complete = takewhile(lambda line: line.endswith(b"\n"), file)
        while lines := list(islice(complete, BATCH_EVENTS)):
            start += sum(map(len, lines))
            yield lines, start


def _read(lines: list[bytes]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    actions, dead = [], []
    for line in lines:
        try:
            actions.append(_action(line))
        except ValueError as exc:
            dead.append(_letter(str(exc), line))
    return actions, dead


def _letter(reason: str, line: bytes) -> dict[str, Any]:
    return {"reason": reason, "line": line.decode("utf-8", "replace").strip()}


def _action(line: bytes) -> dict[str, Any]:
    """The bulk action for one spool line, which is sent as it is.

    Raises:
        ValueError: it is no event of ours.
    """
    try:
        event = json.loads(line)
        event_id = str(UUID(event["event"]["id"]))
        service, environment = event["service"]["name"], event["service"]["environment"]
        if not _NAME.fullmatch(service) or not _NAME.fullmatch(environment):
            raise ValueError(f"no data stream can be named after {service!r} and {environment!r}")
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise ValueError(f"not an event of ours: {type(exc).__name__}: {exc}") from exc
    return {
        "_op_type": "create",
        "_index": f"logs-brain.{service}-{environment}",
        "_id": event_id,
        "_source": line.strip(),
    }


def _reason(result: dict[str, Any]) -> str:
    error = result.get("error")
    if not isinstance(error, dict):
        return str(error)
    cause = error.get("caused_by", {}).get("reason")
    return f"{error.get('type')}: {error.get('reason')}" + (f" ({cause})" if cause else "")


def _hint(status: int) -> str:
    return " Check the user and run `brain elk setup`." if status in _NOT_SET_UP else ""


def _replace(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
