import os
import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import create_engine, text
from sqlalchemy.pool import StaticPool

from serving.metrics import Metrics, forget_dead_workers, stages_of

UPLOADED = {
    "http.request.method": "POST",
    "brain.http.route": "/v1/predictions",
    "http.response.status_code": 201,
    "brain.prediction.class": "glioma",
}
REFUSED = {
    **{name: value for name, value in UPLOADED.items() if name != "brain.prediction.class"},
    "http.response.status_code": 422,
    "error.type": "not-a-brain-mri",
    "brain.gate.reason": "The image is in colour; a brain MRI slice is grey.",
}


def figures(metrics):
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


@pytest.fixture
def metrics():
    return Metrics()


def test_requests_stages_predictions_and_refusals_are_counted(metrics):
    metrics.request(UPLOADED, "read;dur=1.0, decode;dur=2.5, total;dur=9.9", 0.0099)
    metrics.request(REFUSED, "", 0.002)
    found = figures(metrics)
    assert found["brain_http_requests_total", "POST", "/v1/predictions", "201"] == 1
    assert found["brain_http_request_seconds_count", "/v1/predictions"] == 2
    assert found["brain_stage_seconds_sum", "decode"] == pytest.approx(0.0025)
    assert ("brain_stage_seconds_sum", "total") not in found
    assert found["brain_predictions_total", "glioma"] == 1
    assert found["brain_rejections_total", "not-a-brain-mri"] == 1
    assert found["brain_gate_refusals_total", REFUSED["brain.gate.reason"]] == 1


def test_the_model_that_answers_is_told_and_that_it_is_not_the_newest(metrics):
    metrics.model("1")
    metrics.model("2")
    metrics.model_failed()
    found = figures(metrics)
    assert (found["brain_model_info", "1"], found["brain_model_info", "2"]) == (0, 1)
    assert (found["brain_champion_loads_total", "failure"], found["brain_champion_stale",]) == (1, 1)
    metrics.model_is_newest()
    assert figures(metrics)["brain_champion_stale",] == 0


def test_queue_and_outbox_are_told(metrics):
    metrics.queue(3)
    metrics.outbox(7)
    found = figures(metrics)
    assert (found["brain_uploads_in_work",], found["brain_outbox_images",]) == (3, 7)


def test_connections_in_use_are_followed(metrics):
    engine = create_engine("sqlite://", poolclass=StaticPool)
    metrics.watch_pool(engine, 15)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        assert figures(metrics)["brain_database_connections",] == 1
    found = figures(metrics)
    assert (found["brain_database_connections",], found["brain_database_connections_max",]) == (0, 15)


def test_stages_are_read_from_the_header():
    assert list(stages_of("decode;dur=1.5, total;dur=2")) == [("decode", 0.0015)]
    assert list(stages_of("")) == []


WORKER = """
from serving.metrics import Metrics
metrics = Metrics()
metrics.queue(2)
metrics.model("7")
asked = {"http.request.method": "GET", "brain.http.route": "/v1/model", "http.response.status_code": 200}
metrics.request(asked, "", 0.1)
"""
ASKED = (
    WORKER
    + """
import os
from pathlib import Path
from serving.metrics import forget_dead_workers
forget_dead_workers(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
print(metrics.text().decode())
"""
)


def test_several_workers_are_added_up_and_a_dead_one_is_forgotten(tmp_path):
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for program in (WORKER, ASKED):
        ended = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
    lines = ended.stdout.splitlines()
    assert 'brain_http_requests_total{method="GET",route="/v1/model",status="200"} 2.0' in lines
    assert "brain_uploads_in_work 2.0" in lines
    assert 'brain_model_info{version="7"} 1.0' in lines


def test_there_may_be_nothing_to_forget(tmp_path):
    forget_dead_workers(tmp_path)
