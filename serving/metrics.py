"""What Prometheus reads at `/metrics`.

With several workers each writes its figures into files of a shared folder, and whichever worker is asked adds them all
up (docs/decisions/0013-the-edge-of-the-prediction-api.md). No label names a person, an image or a key.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from sqlalchemy import Engine, event

from brain_core.settings import shared_folder

_STAGE_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
_SERVER_TIMING = re.compile(r"(\w+);dur=([0-9.]+)")
_UPLOAD = ("POST", "/v1/predictions")
_TOTAL = "total"


class Metrics:
    """All figures of one application, in a registry of its own."""

    def __init__(self) -> None:
        self._folder = shared_folder()
        self._registry = CollectorRegistry()
        self._version: str | None = None
        of = self._registry
        self._requests = Counter(
            "brain_http_requests", "Requests by route and status.", ("method", "route", "status"), registry=of
        )
        self._seconds = Histogram(
            "brain_http_request_seconds", "Time to the end of the answer.", ("route",), registry=of, buckets=_REQUEST_S
        )
        self._stages = Histogram(
            "brain_stage_seconds", "Time in each stage of an upload.", ("stage",), registry=of, buckets=_STAGE_S
        )
        self._predictions = Counter("brain_predictions", "Accepted uploads by class.", ("class",), registry=of)
        self._rejections = Counter("brain_rejections", "Refused uploads by type of problem.", ("reason",), registry=of)
        self._gate_refusals = Counter(
            "brain_gate_refusals",
            "Uploads that are no brain MRI slices, by reason.",
            ("reason",),
            registry=of,
        )
        self._model = self._gauge("brain_model_info", "Processes that answer with this version.", ("version",))
        self._loads = Counter("brain_champion_loads", "Tries to load a published model.", ("outcome",), registry=of)
        self._stale = self._gauge("brain_champion_stale", "Processes that could not load the newest model.")
        self._queue = self._gauge("brain_uploads_in_work", "Uploads that are worked on or wait.")
        self._outbox = Gauge(
            "brain_outbox_images", "Images that wait for the bucket.", registry=of, multiprocess_mode="livemostrecent"
        )
        self._connections = self._gauge("brain_database_connections", "Connections in use.")
        self._most_connections = self._gauge("brain_database_connections_max", "Connections that may be in use.")

    def watch_pool(self, engine: Engine, size: int) -> None:
        """Follow how many of an engine's connections are in use.

        Args:
            engine: the pool.
            size: its most connections.
        """
        self._most_connections.set(size)
        event.listen(engine, "checkout", lambda *_: self._connections.inc())
        event.listen(engine, "checkin", lambda *_: self._connections.dec())

    def request(self, fields: Mapping[str, Any], server_timing: str, seconds: float) -> None:
        """Count one request.

        Args:
            fields: of its log event.
            server_timing: header of its answer.
            seconds: it took.
        """
        method, route = fields["http.request.method"], fields["brain.http.route"]
        self._requests.labels(method, route, fields["http.response.status_code"]).inc()
        self._seconds.labels(route).observe(seconds)
        if (method, route) == _UPLOAD:
            self._upload(fields, server_timing)

    def model(self, version: str) -> None:
        """A model answers from now on."""
        if self._version is not None:
            self._model.labels(self._version).set(0)
        self._model.labels(version).set(1)
        self._version = version
        self._loads.labels("success").inc()
        self._stale.set(0)

    def model_failed(self) -> None:
        """The published model could not be loaded."""
        self._loads.labels("failure").inc()
        self._stale.set(1)

    def model_is_newest(self) -> None:
        """The model that answers is the published one."""
        self._stale.set(0)

    def queue(self, uploads: int) -> None:
        """So many uploads are worked on or wait."""
        self._queue.set(uploads)

    def outbox(self, images: int) -> None:
        """So many images wait for the bucket."""
        self._outbox.set(images)

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        if self._folder is None:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(self._folder))  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry, multiprocess_mode="livesum")

    def _upload(self, fields: Mapping[str, Any], server_timing: str) -> None:
        for stage, seconds in stages_of(server_timing):
            self._stages.labels(stage).observe(seconds)
        if "brain.prediction.class" in fields:
            self._predictions.labels(fields["brain.prediction.class"]).inc()
        elif "error.type" in fields:
            self._rejections.labels(fields["error.type"]).inc()
        if fields.get("brain.gate.reason"):
            self._gate_refusals.labels(fields["brain.gate.reason"]).inc()


def stages_of(server_timing: str) -> Iterator[tuple[str, float]]:
    """Name and seconds of each stage in a `Server-Timing` header, but for the total."""
    for name, milliseconds in _SERVER_TIMING.findall(server_timing):
        if name != _TOTAL:
            yield name, float(milliseconds) / 1000


def forget_dead_workers(folder: Path) -> None:
    """Drop what workers that ended had said of the present, such as their connections; what they counted stays."""
    for pid in {int(path.stem.rpartition("_")[2]) for path in folder.glob("gauge_*.db")}:
        if not _is_alive(pid):
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
