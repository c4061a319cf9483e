"""The log spool and a real Elasticsearch: nothing lost, nothing twice, nothing stuck."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import uuid6
import yaml

from brain_core.elasticsearch_setup import open_client, set_up
from brain_core.errors import DeliveryError
from brain_core.events import configure_logging
from brain_core.settings import Settings
from brain_core.shipping import CURSOR_FILE, DEAD_LETTER_FILE, Shipper
from tests.fixtures_elasticsearch import ELK, PASSWORD, ElasticsearchServer, free_port

pytestmark = pytest.mark.needs_java


@pytest.fixture
def settings(elasticsearch: ElasticsearchServer, tmp_path: Path) -> Settings:
    """A spool and a data stream of the test's own; the user may do what `elk/roles.yml` says."""
    logs = {"elasticsearch_url": elasticsearch.url, "elasticsearch_password": PASSWORD, "ship_interval_s": 0.1}
    environment = f"t{uuid6.uuid7().hex}"
    settings = Settings(home=tmp_path, environment=environment, logs=logs)
    settings.spool_path.mkdir()
    return settings


def with_logs(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"logs": settings.logs.model_copy(update=changes)})


def event(settings: Settings, **fields: object) -> dict[str, object]:
    return {
        "@timestamp": "2026-11-20T10:00:00.000Z",
        "message": "predicted",
        "event": {"id": str(uuid6.uuid7()), "action": "predict", **fields},
        "service": {"name": "serving", "environment": settings.environment},
    }


def write(settings: Settings, *events: dict[str, object], name: str = "serving-1.ndjson") -> None:
    with (settings.spool_path / name).open("a") as file:
        file.writelines(json.dumps(one) + "\n" for one in events)


def stored(server: ElasticsearchServer, settings: Settings) -> list[dict[str, object]]:
    index = f"logs-brain.serving-{settings.environment}"
    with server.client("brain_reader") as reader, server.client() as admin:
        if not admin.indices.exists(index=index):
            return []
        admin.indices.refresh(index=index)
        return [hit["_source"] for hit in reader.search(index=index, size=10_000)["hits"]["hits"]]


def dead_letters(settings: Settings) -> list[dict[str, str]]:
    path = settings.spool_path / DEAD_LETTER_FILE
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_what_a_service_logs_is_found_by_its_prediction_id(elasticsearch, settings):
    configure_logging(settings, "serving", to_stdout=False)
    prediction_id = str(uuid6.uuid7())
    fields = {"event.action": "predict", "event.duration": 5_000_000, "brain.prediction.id": prediction_id}
    logging.getLogger("serving.routes").info("predicted", extra=fields)
    assert Shipper(settings).ship_once().delivered == 1
    with elasticsearch.client() as admin:
        admin.indices.refresh(index="logs-brain.*")
    with elasticsearch.client("brain_reader") as reader:
        found = reader.search(index="logs-brain.*", q=f'brain.prediction.id:"{prediction_id}"')["hits"]["hits"]
    assert [hit["_source"]["event"]["duration"] for hit in found] == [5_000_000]
    assert found[0]["_id"] == found[0]["_source"]["event"]["id"]


def test_each_event_is_delivered_once_over_several_files_and_batches(elasticsearch, settings):
    first = [event(settings, duration=n) for n in range(1200)]
    second = [event(settings, duration=n) for n in range(1200, 1300)]
    write(settings, *first)
    write(settings, *second, name="dashboard-1.ndjson")
    shipper = Shipper(settings)
    report = shipper.ship_once()
    assert (report.delivered, report.duplicates, report.dead) == (1300, 0, 0)
    assert shipper.ship_once().delivered == 0
    assert sorted(one["event"]["duration"] for one in stored(elasticsearch, settings)) == list(range(1300))


def test_replay_of_the_whole_spool_adds_nothing(elasticsearch, settings):
    write(settings, *(event(settings) for _ in range(50)))
    shipper = Shipper(settings)
    shipper.ship_once()
    (settings.spool_path / CURSOR_FILE).unlink()
    report = shipper.ship_once()
    assert (report.delivered, report.duplicates) == (0, 50)
    assert len(stored(elasticsearch, settings)) == 50


def test_bad_lines_go_to_the_dead_letters_and_hold_up_nothing(elasticsearch, settings):
    wrong_type = event(settings, duration="not a number")
    write(settings, event(settings), wrong_type)
    with (settings.spool_path / "serving-1.ndjson").open("ab") as file:
        file.write(b'{"half": \n\xff\xfe\n{"event": {"id": "../x"}}\n[]\n')
    not_finite = event(settings, duration=float("nan"))
    no_stream = {**event(settings), "service": {"name": "a/b-*", "environment": settings.environment}}
    lone_surrogate = {**event(settings), "message": "\ud800"}
    write(settings, not_finite, no_stream, lone_surrogate, event(settings))
    report = Shipper(settings).ship_once()
    assert report.delivered + report.dead == 10
    reasons = [letter["reason"] for letter in dead_letters(settings)]
    assert len(reasons) == report.dead == 7
    assert sum("document_parsing_exception" in reason for reason in reasons) == 2
    assert sum("not an event of ours" in reason for reason in reasons) == 5
    assert len(stored(elasticsearch, settings)) == 3
    assert Shipper(settings).ship_once().dead == 0


def test_half_written_last_line_waits_for_its_rest(elasticsearch, settings):
    write(settings, event(settings))
    path = settings.spool_path / "serving-1.ndjson"
    line = json.dumps(event(settings)) + "\n"
    with path.open("a") as file:
        file.write(line[:40])
        file.flush()
        assert Shipper(settings).ship_once().delivered == 1
        file.write(line[40:])
    assert Shipper(settings).ship_once().delivered == 1
    assert dead_letters(settings) == []


def test_server_away_keeps_the_cursor_and_a_restart_resumes(elasticsearch, settings):
    write(settings, *(event(settings) for _ in range(3)))
    Shipper(settings).ship_once()
    cursor = (settings.spool_path / CURSOR_FILE).read_text()
    write(settings, *(event(settings) for _ in range(4)))
    away = with_logs(settings, elasticsearch_url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(DeliveryError, match="away"):
        Shipper(away, backoff_s=0.01).ship_once()
    assert (settings.spool_path / CURSOR_FILE).read_text() == cursor
    report = Shipper(settings).ship_once()
    assert (report.delivered, report.duplicates) == (4, 0)
    assert len(stored(elasticsearch, settings)) == 7


def test_wrong_password_is_an_error_and_no_dead_letter(settings):
    write(settings, event(settings))
    with pytest.raises(DeliveryError, match="Check the user"):
        Shipper(with_logs(settings, elasticsearch_user="nobody")).ship_once()
    assert dead_letters(settings) == []
    assert not (settings.spool_path / CURSOR_FILE).exists()


def test_run_delivers_what_comes_until_it_is_stopped(elasticsearch, settings):
    stop = threading.Event()
    thread = threading.Thread(target=Shipper(settings).run, args=(stop,))
    thread.start()
    try:
        for _ in range(3):
            write(settings, event(settings))
            time.sleep(0.3)
        deadline = time.monotonic() + 20
        while len(stored(elasticsearch, settings)) < 3 and time.monotonic() < deadline:
            time.sleep(0.2)
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()
    assert len(stored(elasticsearch, settings)) == 3


def test_template_gives_the_data_stream_its_fields_and_retention(elasticsearch, settings):
    write(settings, {**event(settings), "unknown": {"field": 1}})
    Shipper(settings).ship_once()
    name = f"logs-brain.serving-{settings.environment}"
    with elasticsearch.client() as admin:
        # The data stream API is not in this distribution; the cluster's own state says the same.
        metadata = admin.cluster.state(metric="metadata")["metadata"]["data_stream"]["data_stream"]
        [index] = admin.indices.get_mapping(index=name).values()
    assert metadata[name]["lifecycle"] == {"enabled": True, "data_retention": "30d"}
    fields = index["mappings"]["properties"]
    assert fields["@timestamp"]["type"] == "date"
    assert fields["event"]["properties"]["duration"]["type"] == "long"
    assert fields["brain"]["properties"]["prediction"]["properties"]["id"]["type"] == "keyword"
    assert "unknown" not in fields


def test_set_up_can_be_repeated(elasticsearch, settings):
    with open_client(with_logs(settings, elasticsearch_user="elastic")) as client:
        set_up(client, ELK)
        set_up(client, ELK)
        assert client.indices.exists_index_template(name="logs-brain")


def test_set_up_as_the_shipper_is_refused(elasticsearch):
    with elasticsearch.client("brain_shipper") as client, pytest.raises(DeliveryError, match="index template"):
        set_up(client, ELK)


@pytest.mark.parametrize(("password", "healthy"), [(PASSWORD, True), ("wrong", False)])
def test_health_check_of_the_shipper_container_tells_whether_it_can_log_in(elasticsearch, password, healthy):
    compose = yaml.safe_load((ELK.parent / "docker-compose.yml").read_text())
    _cmd, _python, *arguments = compose["services"]["shipper"]["healthcheck"]["test"]
    variables = {"BRAIN_LOGS__ELASTICSEARCH_URL": elasticsearch.url, "BRAIN_LOGS__ELASTICSEARCH_PASSWORD": password}
    result = subprocess.run(
        [sys.executable, *arguments], cwd=ELK.parent, env={**os.environ, **variables}, capture_output=True, check=False
    )
    assert (result.returncode == 0) == healthy


def test_shipper_may_add_events_but_not_read_them(elasticsearch, settings):
    write(settings, event(settings))
    Shipper(settings).ship_once()
    with elasticsearch.client("brain_shipper") as shipper:
        answer = shipper.options(ignore_status=403).search(index="logs-brain.*")
    assert answer.meta.status == 403
