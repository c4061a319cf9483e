"""The whole loop on real parts: build, predict, correct, retrain, erase, find the logs; in the order of the file."""

import io
import json
import subprocess

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import text

from brain_assets.ml.sources import SampleSource, SourceImage
from brain_cli.build import verify
from brain_core.bundle import read_champion
from brain_core.errors import ApiError
from brain_core.imaging import encode_jpeg
from brain_core.labels import CLASSES, NOTICE
from tests.fixtures_elasticsearch import ElasticsearchServer
from tests.fixtures_platform import BRAIN, RunningPlatform, eventually

NEW_SAMPLE = SampleSource(count=80, seed=7)
"""Slices that the platform has not seen: another seed than that of its source."""


def new_slices() -> list[tuple[SourceImage, bytes]]:
    return [(image, NEW_SAMPLE.read(image)) for image in NEW_SAMPLE.list()]


def photograph() -> bytes:
    from sklearn.datasets import load_sample_image

    return encode_jpeg(np.ascontiguousarray(load_sample_image("flower.jpg")))


def rows(platform: RunningPlatform, query: str, **parameters: object) -> list[tuple[object, ...]]:
    engine = platform.engine()
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(query), parameters)]
    engine.dispose()
    return found


def test_every_asset_is_materialised_and_every_check_passed(platform):
    assert verify(platform.dagster) == []
    states = platform.dagster.assets()
    made = {state.name for state in states if state.is_materializable}
    assert len(made) == 22
    assert {state.name for state in states} - made == {"source_images"}
    blocking = [name for state in states for name in state.failed_checks if "(blocking)" in name]
    assert blocking == []


def test_the_addresses_are_printed_and_the_notice(platform):
    printed = "".join(platform.output)
    assert all(platform.url(part) in printed for part in platform.ports)
    assert NOTICE in " ".join(printed.split())


def test_the_success_email_tells_the_decision(platform):
    (mail,) = eventually(lambda: platform.outbox, 60, "an e-mail in the outbox")[:1]
    content = mail.read_bytes().decode()
    assert "data_and_model_build succeeded" in content
    assert "promotion" in content
    assert "Not a medical device" in content


def test_an_upload_is_predicted_explained_and_stored(platform):
    _, data = new_slices()[0]
    prediction = platform.api.predict(data, consent=True)
    assert prediction.predicted_class in CLASSES
    assert sum(prediction.probabilities.values()) == pytest.approx(1.0, abs=1e-4)
    assert prediction.model_version == read_champion(platform.bucket).version
    overlay = Image.open(io.BytesIO(platform.api.explanation_png(prediction.id, prediction.access_token)))
    assert overlay.size == Image.open(io.BytesIO(data)).size
    ((key, is_valid),) = rows(platform, "SELECT image_key, is_valid FROM prediction WHERE id = :id", id=prediction.id)
    assert is_valid
    assert key == f"InferenceLogs/ImageLogs/{prediction.predicted_class}/{prediction.id}.jpg"
    assert platform.bucket.exists(str(key))


def test_the_sample_is_mostly_predicted_right(platform):
    answers = [(image.label, platform.api.predict(data, consent=True)) for image, data in new_slices()[::5]]
    right = sum(label == answer.predicted_class for label, answer in answers)
    assert right / len(answers) > 0.5


def test_a_photograph_is_refused_with_422(platform):
    with pytest.raises(ApiError) as caught:
        platform.api.predict(photograph(), consent=True)
    assert caught.value.status == 422
    assert caught.value.problem["type"].endswith("/not-a-brain-mri")
    assert platform.bucket.exists(f"InferenceLogs/ImageLogsForInvalidImages/{caught.value.problem['id']}.jpg")


def test_a_correction_moves_the_image_and_erasure_erases(platform):
    _, data = new_slices()[1]
    prediction = platform.api.predict(data, consent=True)
    corrected = next(name for name in CLASSES if name != prediction.predicted_class)
    platform.api.feedback(prediction.id, prediction.access_token, corrected)
    moved = f"InferenceLogs/ImageLogsWithFeedback/{corrected}/{prediction.id}.jpg"
    assert platform.bucket.exists(moved)
    platform.api.erase(prediction.id, prediction.access_token)
    assert not platform.bucket.exists(moved)
    ((deleted_at, embedding),) = rows(
        platform, "SELECT deleted_at, embedding FROM prediction WHERE id = :id", id=prediction.id
    )
    assert deleted_at is not None
    assert embedding is None
    with pytest.raises(ApiError) as caught:
        platform.api.get(prediction.id, prediction.access_token)
    assert caught.value.status == 410


def test_the_log_of_a_request_is_found_by_its_prediction_id(platform, elasticsearch: ElasticsearchServer):
    prediction = platform.api.predict(new_slices()[2][1], consent=True)
    client = elasticsearch.client()
    query = {"term": {"brain.prediction.id": str(prediction.id)}}

    def found():
        client.indices.refresh(index="logs-brain.*")
        return client.search(index="logs-brain.*", query=query)["hits"]["hits"]

    hits = eventually(found, 60, "the event in Elasticsearch")
    assert {
        hit["_source"]["event.action"] if "event.action" in hit["_source"] else hit["_source"]["event"]["action"]
        for hit in hits
    } >= {"predict"}


def test_a_second_platform_on_the_same_home_is_refused(platform):
    result = subprocess.run([BRAIN, "up"], env=platform.environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "already runs on" in result.stderr


def test_doctor_finds_every_part(platform):
    environment = {**platform.environment, "BRAIN_MLFLOW__URI": platform.url("MLFLOW"), "COLUMNS": "200"}
    result = subprocess.run([BRAIN, "doctor"], env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0
    for part in ("dagit", "mlflow server", "serving", "dashboard"):
        (line,) = [line for line in result.stdout.splitlines() if f" {part} " in line]
        assert " ok " in line


def test_the_logs_are_json_and_hold_no_secret(platform):
    for _ in range(61):
        platform.api.model()
    lines = [line for path in (platform.home / "spool").glob("*.ndjson") for line in path.read_text().splitlines()]
    assert len(lines) > 60
    events = [json.loads(line) for line in lines]
    assert {"serving", "pipeline"} <= {event["service"]["name"] for event in events}
    assert all("@timestamp" in event for event in events)
    assert "only-for-this-test-session" not in "\n".join(lines)
