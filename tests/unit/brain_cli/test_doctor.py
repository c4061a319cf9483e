import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink

from brain_cli import doctor
from brain_cli.doctor import Finding, examine
from brain_core.settings import load_settings


def look(**settings) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(load_settings(**settings))}


@pytest.fixture(autouse=True)
def _nothing_runs(monkeypatch):
    for name in ("SERVING", "DAGSTER", "MLFLOW", "DASHBOARD"):
        monkeypatch.setenv(f"BRAIN_{name}__PORT", "1024")


@pytest.fixture
def findings(tmp_path):
    return look(home=tmp_path)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def elasticsearch(request) -> Iterator[str]:
    """A server that answers every request with the given status, as Elasticsearch would."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"status": "green"}'
            self.send_response(request.param)
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_versions_are_told(findings):
    assert findings["python"].state == "ok"
    assert findings["tensorflow"].detail.count(".") >= 2


def test_the_machine_is_told(findings):
    assert "cores" in findings["processor"].detail
    assert "GB available" in findings["memory"].detail
    assert "GB free" in findings["disk"].detail


def test_what_does_not_run_is_off_not_missing(findings):
    assert findings["serving"].state == "off"
    assert "does not answer" in findings["serving"].detail
    assert findings["elasticsearch"].detail.startswith("not set")
    assert findings["mail"].detail.startswith("not set")
    assert findings["champion"].state == "off"
    assert findings["platform"] == Finding("platform", "off", "does not run; start it with `brain up`")


def test_the_champion_is_told_with_who_made_it_so(champion_bucket):
    finding = look(bucket={"uri": str(champion_bucket.root)})["champion"]
    assert finding.state == "ok"
    assert re.fullmatch(r"version 1, since \d{4}-\d\d-\d\d \d\d:\d\d UTC, by test", finding.detail)


@pytest.mark.parametrize("name", ["dagit", "mlflow server", "serving", "dashboard"])
def test_servers_are_asked_at_the_ports_of_the_settings(findings, name):
    assert findings[name].detail.startswith("http://127.0.0.1:1024/")


def test_mlflow_elsewhere_is_asked_there(monkeypatch, tmp_path, closed_port):
    monkeypatch.setenv("BRAIN_MLFLOW__URI", f"http://127.0.0.1:{closed_port}")
    assert look(home=tmp_path)["mlflow server"].detail == f"http://127.0.0.1:{closed_port}/health does not answer"


def test_an_installation_without_faults_misses_nothing(findings):
    assert [name for name, finding in findings.items() if finding.state == "missing"] == []


def test_looking_changes_nothing(tmp_path):
    look(home=tmp_path / "home")
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_written_is_missing(tmp_path):
    (tmp_path / "file").write_text("")
    findings = look(home=tmp_path / "file" / "home")
    assert findings["home"].state == "missing"
    assert findings["bucket"].state == "missing"


@pytest.mark.parametrize(("limit", "name", "state"), [("FREE", "disk", "missing"), ("MEMORY", "memory", "off")])
def test_a_machine_that_is_too_small_is_told_why(monkeypatch, tmp_path, limit, name, state):
    monkeypatch.setattr(doctor, f"LEAST_{limit}_BYTES", 10**18)
    finding = look(home=tmp_path)[name]
    assert finding.state == state
    assert ";" in finding.detail


def test_the_images_of_the_source_are_counted(findings):
    assert findings["source"] == Finding("source", "ok", "sample: 320 images")


def test_a_source_that_is_away_is_missing(tmp_path):
    finding = look(home=tmp_path, source={"uri": str(tmp_path / "absent")})["source"]
    assert finding.state == "missing"
    assert "absent" in finding.detail


def test_a_database_that_is_set_must_answer(tmp_path):
    finding = look(home=tmp_path, database={"url": f"postgresql://postgres@/brain?host={tmp_path}"})["database"]
    assert finding.state == "missing"
    assert "PostgreSQL is away" in finding.detail


def test_a_port_that_something_else_uses_names_its_setting(tmp_path):
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        finding = look(home=tmp_path, dashboard={"port": port})[f"port {port}"]
    assert "BRAIN_DASHBOARD__PORT" in finding.detail


@pytest.mark.parametrize(
    ("elasticsearch", "state", "detail"),
    [(200, "ok", "green"), (403, "ok", "knows the user"), (401, "missing", "BRAIN_LOGS__ELASTICSEARCH_PASSWORD")],
    indirect=["elasticsearch"],
)
def test_elasticsearch_that_is_set_must_know_the_user(tmp_path, elasticsearch, state, detail):
    finding = look(home=tmp_path, logs={"elasticsearch_url": elasticsearch})["elasticsearch"]
    assert finding.state == state
    assert detail in finding.detail


def test_elasticsearch_that_is_set_must_answer(tmp_path, closed_port):
    finding = look(home=tmp_path, logs={"elasticsearch_url": f"http://127.0.0.1:{closed_port}"})["elasticsearch"]
    assert finding.state == "missing"
    assert "logs wait in the spool" in finding.detail


def test_a_mail_server_that_is_set_must_answer(tmp_path, closed_port):
    server = {"smtp_host": "127.0.0.1", "smtp_tls": False}
    assert look(home=tmp_path, mail={**server, "smtp_port": closed_port})["mail"].state == "missing"
    controller = Controller(Sink(), hostname="127.0.0.1", port=closed_port)
    controller.start()
    try:
        assert look(home=tmp_path, mail={**server, "smtp_port": closed_port})["mail"].state == "ok"
        finding = look(home=tmp_path, mail={**server, "smtp_tls": True, "smtp_port": closed_port})["mail"]
    finally:
        controller.stop()
    assert finding.state == "missing"
    assert "no STARTTLS" in finding.detail
