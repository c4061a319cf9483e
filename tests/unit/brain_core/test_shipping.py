"""What only a broken Elasticsearch answers, from a small server of our own; the rest is in tests/integration."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import uuid6

from brain_core.errors import DeliveryError, SettingsError
from brain_core.settings import Settings
from brain_core.shipping import CURSOR_FILE, DEAD_LETTER_FILE, Shipper


class Scripted(ThreadingHTTPServer):
    """Answers each bulk request with the next entry: an HTTP status, or one status an item; None hangs up."""

    def __init__(self, script):
        self.script = list(script)
        self.requests = 0
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    def do_PUT(self):
        lines = self.rfile.read(int(self.headers["Content-Length"])).splitlines()
        ids = [json.loads(line)["create"]["_id"] for line in lines[::2]]
        self.server.requests += 1
        answer = self.server.script.pop(0) if self.server.script else [201] * len(ids)
        if answer is None:
            self.close_connection = True
        elif isinstance(answer, int):
            self.reply(answer, {"error": {"type": "busy", "reason": "busy"}, "status": answer})
        else:
            items = [{"create": self.item(*one)} for one in zip(ids, answer, strict=True)]
            self.reply(200, {"errors": True, "took": 1, "items": items})

    do_POST = do_PUT

    def item(self, event_id, status):
        problem = {"error": {"type": "refused", "reason": "because", "caused_by": {"reason": "of this"}}}
        return {"_index": "i", "_id": event_id, "status": status, **(problem if status >= 300 else {})}

    def reply(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Type", "application/vnd.elasticsearch+json;compatible-with=9")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        """Keep the test's output clean."""


@pytest.fixture
def serve():
    running = []

    def start(*script):
        server = Scripted(script)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def shipper(tmp_path, server, events=2):
    url = f"http://127.0.0.1:{server.server_address[1]}"
    settings = Settings(home=tmp_path, logs={"elasticsearch_url": url, "ship_interval_s": 0.01})
    settings.spool_path.mkdir(exist_ok=True)
    service = {"name": "serving", "environment": "test"}
    lines = [json.dumps({"event": {"id": str(uuid6.uuid7())}, "service": service}) for _ in range(events)]
    (settings.spool_path / "serving-1.ndjson").write_text("\n".join(lines) + "\n")
    return Shipper(settings, backoff_s=0.001)


def has_cursor(tmp_path):
    return (tmp_path / "spool" / CURSOR_FILE).exists()


def has_dead_letters(tmp_path):
    return (tmp_path / "spool" / DEAD_LETTER_FILE).exists()


@pytest.mark.parametrize("script", [[429, 503], [None, None], [[429, 201], [503]], [502, [201, 429], [201]]])
def test_passing_trouble_is_waited_out(tmp_path, serve, script):
    report = shipper(tmp_path, serve(*script)).ship_once()
    assert (report.delivered, report.dead) == (2, 0)


@pytest.mark.parametrize("answer", [429, 503, 500, [503, 201], [201, 429]])
def test_lasting_trouble_is_an_error_and_nothing_is_given_up(tmp_path, serve, answer):
    server = serve(*[answer] * 4 if isinstance(answer, int) else [answer, *[[max(answer)]] * 8])
    with pytest.raises(DeliveryError):
        shipper(tmp_path, server).ship_once()
    assert server.requests == 4
    assert not has_cursor(tmp_path)
    assert not has_dead_letters(tmp_path)


def test_lost_connections_are_an_error_after_some_attempts(tmp_path, serve):
    with pytest.raises(DeliveryError, match="away"):
        shipper(tmp_path, serve(*[None] * 100)).ship_once()
    assert not has_cursor(tmp_path)


@pytest.mark.parametrize("answer", [401, 403, [403, 403], [201, 404]])
def test_what_the_operator_can_mend_waits_for_the_operator(tmp_path, serve, answer):
    with pytest.raises(DeliveryError, match="brain elk setup"):
        shipper(tmp_path, serve(answer)).ship_once()
    assert not has_cursor(tmp_path)
    assert not has_dead_letters(tmp_path)


def test_refused_event_is_kept_with_the_reason(tmp_path, serve):
    report = shipper(tmp_path, serve([201, 400])).ship_once()
    assert (report.delivered, report.dead) == (1, 1)
    [letter] = (tmp_path / "spool" / DEAD_LETTER_FILE).read_text().splitlines()
    assert json.loads(letter)["reason"] == "refused: because (of this)"
    assert json.loads(json.loads(letter)["line"])["service"]["name"] == "serving"
    assert has_cursor(tmp_path)


def test_event_that_is_already_there_counts_as_delivered(tmp_path, serve):
    report = shipper(tmp_path, serve([409, 201])).ship_once()
    assert (report.delivered, report.duplicates, report.dead) == (1, 1, 0)


def test_empty_spool_is_nothing_to_do(tmp_path, serve):
    server = serve()
    assert shipper(tmp_path, server, events=0).ship_once().delivered == 0


def test_damaged_cursor_is_named(tmp_path, serve):
    one = shipper(tmp_path, serve())
    (tmp_path / "spool" / CURSOR_FILE).write_text("{")
    with pytest.raises(DeliveryError, match=r"cursor\.json is damaged"):
        one.ship_once()


def test_spool_that_cannot_be_written_is_named(tmp_path, serve):
    one = shipper(tmp_path, serve())
    (tmp_path / "spool" / CURSOR_FILE).with_suffix(".part").mkdir()
    with pytest.raises(DeliveryError, match="log spool"):
        one.ship_once()


def test_files_that_are_gone_leave_the_cursor(tmp_path, serve):
    one = shipper(tmp_path, serve())
    one.ship_once()
    [file] = (tmp_path / "spool").glob("*.ndjson")
    file.rename(file.with_name("serving-2.ndjson"))
    one.ship_once()
    assert list(json.loads((tmp_path / "spool" / CURSOR_FILE).read_text())) == ["serving-2.ndjson"]


def test_run_survives_an_outage_and_says_so(tmp_path, serve, caplog):
    stop = threading.Event()
    thread = threading.Thread(target=shipper(tmp_path, serve(*[503] * 4)).run, args=(stop,))
    thread.start()
    while not has_cursor(tmp_path) and thread.is_alive():
        stop.wait(0.01)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert "Next attempt" in caplog.text


def test_missing_address_is_named(tmp_path):
    with pytest.raises(SettingsError, match="BRAIN_LOGS__ELASTICSEARCH_URL is not set"):
        Shipper(Settings(home=tmp_path))
