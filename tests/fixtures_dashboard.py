"""The pages as Streamlit's AppTest runs them, and a small HTTP server that answers what a test tells it."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from brain_core import contracts, labels
from brain_core.events import SpoolHandler
from brain_core.imaging import encode_jpeg, encode_png
from tests.fixtures_bundle import drawn_slice, slice_jpeg

APP = str(Path(__file__).resolve().parents[1] / "dashboard" / "app.py")
PREDICTION_ID = UUID("0199c1f2-7c3e-7b4a-9d11-2f6f3a1b5c7d")
SLICE = ("slice.jpg", slice_jpeg(), "image/jpeg")
NOW = datetime(2026, 11, 20, tzinfo=UTC)
Answer = tuple[int, bytes]
PagesFactory = Callable[..., AppTest]


def created(**values: Any) -> contracts.CreatedPrediction:
    """An answer: pituitary with 91 %, except for `values`."""
    answer: dict[str, Any] = {
        "id": PREDICTION_ID,
        "created_at": NOW,
        "predicted_class": "pituitary",
        "probabilities": {"glioma": 0.05, "meningioma": 0.03, "notumor": 0.01, "pituitary": 0.91},
        "confidence": 0.91,
        "is_uncertain": False,
        "validation": {"is_valid": True, "histogram_correlation": 0.9, "gate_score": 0.9},
        "explanation": {"image_url": "/x", "peak": [0.25, 0.5], "contours": []},
        "timings_ms": {"decode": 2.0, "predict": 40.0},
        "model_version": "7",
        "access_token": "secret-token",
    }
    return contracts.CreatedPrediction(**{**answer, **values})


def problem(slug: str, status: int, **members: Any) -> Answer:
    """A problem document as the API makes it."""
    document = contracts.Problem(
        type=f"/problems/{slug}", title=slug, status=status, instance="/x", **{"detail": "What was wrong.", **members}
    )
    return status, document.model_dump_json().encode()


def consent(version: str = labels.CONSENT_VERSION, text: str = labels.CONSENT_TEXT) -> contracts.Consent:
    """The text that readers are shown."""
    return contracts.Consent(version=version, text=text, valid_until=None, is_current=True)


def feedback(corrected_class: str | None) -> Answer:
    """Stored feedback."""
    stored = contracts.Feedback(
        prediction_id=PREDICTION_ID,
        revision=1,
        agrees=corrected_class is None,
        corrected_class=corrected_class,
        review_state="accepted",
    )
    return 200, stored.model_dump_json().encode()


class ScriptedApi:
    """Answers by the contract what `answers` says; the key is the method and the last part of the path.

    Attributes:
        requests: keys of the requests that came, in order.
        bodies: their bodies.
            headers: those of the uploads.
        scripts: answers that come before that of `answers`, each once.
        retry_after_s: sent with every answer that is a failure.
            targets: their paths with the query.
        keys: their API keys, None where there was none.
    """

    def __init__(self) -> None:
        card = contracts.ModelCard(
            version="7", classes=[], trained_on="sample", data_version="1", created_at=NOW, metrics={}
        )
        self.requests: list[str] = []
        self.bodies: list[bytes] = []
        self.targets: list[str] = []
        self.keys: list[str | None] = []
        self.headers: list[dict[str, str]] = []
        self.scripts: dict[str, list[Answer]] = {}
        self.retry_after_s: int | None = None
        self.answers: dict[str, Answer] = {
            "GET readyz": (200, b"{}"),
            "GET model": (200, card.model_dump_json().encode()),
            "GET consent": (200, consent().model_dump_json().encode()),
            "POST predictions": (201, created().model_dump_json().encode()),
            "GET image": (200, encode_jpeg(drawn_slice())),
            "GET explanation.png": (200, encode_png(drawn_slice())),
            "PUT feedback": feedback(None),
            f"DELETE {PREDICTION_ID}": (204, b""),
        }

    def count(self, key: str) -> int:
        """How often such a request came."""
        return self.requests.count(key)

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serve on a free port; gives the base URL."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def _handler(api) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                key = f"{self.command} {self.path.partition('?')[0].rpartition('/')[2]}"
                api.bodies.append(self.rfile.read(int(self.headers.get("content-length", 0))))
                api.requests.append(key)
                api.targets.append(self.path)
                api.keys.append(self.headers.get("X-API-Key"))
                if key == "POST predictions":
                    api.headers.append(dict(self.headers))
                script = api.scripts.get(key)
                status, body = script.pop(0) if script else api.answers.get(key, (404, b"{}"))
                self.send_response(status)
                if api.retry_after_s is not None and status >= 400:
                    self.send_header("retry-after", str(api.retry_after_s))
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = _answer

            def log_message(self, *args: Any) -> None:
                """Nothing: the test's own output matters."""

        return Handler


@pytest.fixture
def scripted_api() -> ScriptedApi:
    """What the API is to answer; changed by a test as it needs."""
    return ScriptedApi()


@pytest.fixture
def api_address(scripted_api: ScriptedApi) -> Iterator[str]:
    """Where the scripted API listens."""
    with scripted_api.running() as url:
        yield url


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spared_heap: None) -> Iterator[PagesFactory]:
    """Opens a view in the whole app: `open_page("logs", BRAIN_…="…")`; home is `tmp_path / "home"`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BRAIN_DASHBOARD__API_URL", "http://127.0.0.1:9")
    _forget_connections()

    def run(view: str, **environment: str) -> AppTest:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        _forget_connections()
        app = AppTest.from_file(APP, default_timeout=60).run()
        return app if view == "predict" else app.switch_page(f"views/{view}.py").run()

    yield run
    _forget_connections()


def upload(app: AppTest, file: tuple[str, bytes, str] = SLICE) -> AppTest:
    """Hand a file in on the Predict page."""
    return app.file_uploader[0].set_value([file]).run()


def press(app: AppTest, label: str) -> AppTest:
    """Click the button of this label."""
    return next(button for button in app.button if button.label == label).click().run()


def alerts(app: AppTest) -> list[str]:
    """Everything that a page says in a coloured box."""
    return [str(box.value) for kind in ("error", "warning", "success", "info") for box in app.get(kind)]


def said(app: AppTest) -> str:
    """All the text of a page."""
    boxes = [str(box.value) for kind in ("title", "subheader", "markdown", "caption") for box in app.get(kind)]
    return "\n".join(boxes + alerts(app))


def write_events(folder: Path, *events: dict[str, Any]) -> Path:
    """Append events to a spool file; gives its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "serving-1.ndjson"
    with path.open("a") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)
    return path


def _forget_connections() -> None:
    st.cache_resource.clear()
    st.cache_data.clear()
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, SpoolHandler)]:
        root.removeHandler(handler)
        handler.close()
