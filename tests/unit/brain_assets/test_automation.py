from pathlib import Path

import dagster as dg
import pytest

from brain_assets.defs.automation import (
    CORRECTIONS_TAG,
    MAX_ATTEMPTS,
    _retraining_request,
    _source_sensor,
    data_and_model_build,
    model_retraining,
)
from brain_assets.ml.sources import open_source
from brain_assets.resources import SourceResource
from brain_core.imaging import encode_jpeg
from brain_core.settings import load_settings


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def add_run(instance: dg.DagsterInstance, job: str, status: dg.DagsterRunStatus, tags: dict[str, str] | None = None):
    return instance.add_run(dg.DagsterRun(job_name=job, status=status, tags=tags or {}))


@pytest.mark.parametrize("waiting", [0, 49, 50])
def test_no_retraining_up_to_the_threshold(instance, waiting):
    request = _retraining_request(instance, waiting, 50)
    assert isinstance(request, dg.SkipReason)
    assert f"{waiting} corrected images wait; a retraining starts at more than 50" in str(request.skip_message)


def test_a_retraining_at_one_more_than_the_threshold(instance):
    request = _retraining_request(instance, 51, 50)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key is None


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
def test_no_second_retraining_beside_a_running_one(instance, status):
    add_run(instance, model_retraining.name, status)
    assert "is running" in str(_retraining_request(instance, 51, 50).skip_message)


def test_a_failed_retraining_is_tried_again_but_not_for_ever(instance):
    for _ in range(MAX_ATTEMPTS):
        assert isinstance(_retraining_request(instance, 51, 50), dg.RunRequest)
        add_run(instance, model_retraining.name, dg.DagsterRunStatus.FAILURE, {CORRECTIONS_TAG: "51"})
    assert "start it by hand" in str(_retraining_request(instance, 51, 50).skip_message)
    assert isinstance(_retraining_request(instance, 52, 50), dg.RunRequest)


def write_image(folder: Path, name: str) -> None:
    (folder / "glioma").mkdir(parents=True, exist_ok=True)
    import numpy as np

    (folder / "glioma" / name).write_bytes(encode_jpeg(np.zeros((9, 9), np.uint8)))


def tick(instance: dg.DagsterInstance, folder: Path) -> dg.RunRequest | dg.SkipReason:
    sensor = _source_sensor(load_settings())
    context = dg.build_sensor_context(
        instance=instance, resources={"source": SourceResource(uri=str(folder), max_undecodable_share=0.0)}
    )
    result = sensor(context)
    assert isinstance(result, dg.RunRequest | dg.SkipReason)
    return result


def report_build(instance: dg.DagsterInstance, folder: Path) -> None:
    fingerprint = open_source(str(folder)).fingerprint()
    event = dg.AssetMaterialization("raw_images", metadata={"source_fingerprint": fingerprint})
    instance.report_runless_asset_event(event)


def test_a_missing_source_is_a_reason_in_dagit(instance, tmp_path):
    assert "cannot be used" in str(tick(instance, tmp_path / "absent").skip_message)


def test_an_empty_source_is_a_reason_in_dagit(instance, tmp_path):
    (tmp_path / "glioma").mkdir()
    assert "cannot be used" in str(tick(instance, tmp_path).skip_message)


def test_the_first_build_is_not_the_sensors(instance, tmp_path):
    write_image(tmp_path, "1.jpg")
    assert "first build" in str(tick(instance, tmp_path).skip_message)


def test_an_unchanged_source_starts_nothing(instance, tmp_path):
    write_image(tmp_path, "1.jpg")
    report_build(instance, tmp_path)
    assert "as it was" in str(tick(instance, tmp_path).skip_message)


def test_a_changed_source_starts_a_build(instance, tmp_path):
    write_image(tmp_path, "1.jpg")
    report_build(instance, tmp_path)
    write_image(tmp_path, "2.jpg")
    request = tick(instance, tmp_path)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == open_source(str(tmp_path)).fingerprint()


def test_a_changed_source_waits_for_a_running_build(instance, tmp_path):
    write_image(tmp_path, "1.jpg")
    report_build(instance, tmp_path)
    write_image(tmp_path, "2.jpg")
    add_run(instance, data_and_model_build.name, dg.DagsterRunStatus.STARTED)
    assert "is running" in str(tick(instance, tmp_path).skip_message)
