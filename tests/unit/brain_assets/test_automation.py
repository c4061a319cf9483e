from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from brain_assets.defs import automation as automation_module
from brain_assets.defs.automation import (
    BATCH,
    CORRECTIONS_TAG,
    MAX_ATTEMPTS,
    PARTITION_TAG,
    _batches,
    _retraining_request,
    _source_sensor,
    automation,
    ingest_batch,
)
from brain_assets.defs.training_runs import RETRAINING_JOB, UNFINISHED, unfinished_training
from brain_assets.resources import BucketResource, SourceResource
from brain_core.corrections import Waiting
from brain_core.imaging import encode_jpeg
from brain_core.settings import load_settings
from brain_core.storage import LocalBucket


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def add_run(instance: dg.DagsterInstance, job: str, status: dg.DagsterRunStatus, tags: dict[str, str] | None = None):
    return instance.add_run(dg.DagsterRun(job_name=job, status=status, tags=tags or {}))


def request_for(instance: dg.DagsterInstance, images: int, key: str = "these"):
    return _retraining_request(instance, Waiting(images, key), 50, unfinished_training(instance))


@pytest.mark.parametrize("waiting", [0, 49, 50])
def test_no_retraining_up_to_the_threshold(instance, waiting):
    request = request_for(instance, waiting)
    assert isinstance(request, dg.SkipReason)
    assert f"{waiting} corrected images wait; a retraining starts at more than 50" in str(request.skip_message)


def test_a_retraining_at_one_more_than_the_threshold(instance):
    request = request_for(instance, 51)
    assert isinstance(request, dg.RunRequest)
    assert request.tags["brain/reason"] == "51 corrected images wait, more than 50; attempt 1 for these."


def test_the_same_corrections_are_asked_for_under_the_same_key_until_an_attempt_failed(instance):
    first = request_for(instance, 51).run_key
    assert request_for(instance, 51).run_key == first
    assert request_for(instance, 51, "others").run_key != first
    add_run(instance, RETRAINING_JOB, dg.DagsterRunStatus.FAILURE, {CORRECTIONS_TAG: "these"})
    assert request_for(instance, 51).run_key != first


@pytest.mark.parametrize("job", ["model_retraining", "data_and_model_build"])
@pytest.mark.parametrize("status", [one for one in UNFINISHED if one is not dg.DagsterRunStatus.QUEUED])
def test_no_second_retraining_beside_a_run_that_makes_a_model(instance, status, job):
    add_run(instance, job, status)
    assert "makes a model already" in str(request_for(instance, 51).skip_message)


def test_nor_beside_one_of_declarative_automation(instance):
    selection = frozenset({dg.AssetKey("trained_model"), dg.AssetKey("promotion")})
    run = dg.DagsterRun(job_name="__ASSET_JOB", status=dg.DagsterRunStatus.STARTED, asset_selection=selection)
    instance.add_run(run)
    assert f"run {run.run_id} makes a model" in str(request_for(instance, 51).skip_message)


def test_a_run_that_makes_no_model_is_in_nobodys_way(instance):
    add_run(instance, ingest_batch.name, dg.DagsterRunStatus.STARTED)
    assert isinstance(request_for(instance, 51), dg.RunRequest)


@pytest.mark.parametrize("ended", [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])
def test_a_retraining_that_did_not_end_well_is_tried_again_but_not_for_ever(instance, ended):
    for _ in range(MAX_ATTEMPTS):
        assert isinstance(request_for(instance, 51), dg.RunRequest)
        add_run(instance, RETRAINING_JOB, ended, {CORRECTIONS_TAG: "these"})
    assert "failed 3 times within a day" in str(request_for(instance, 51).skip_message)
    assert isinstance(request_for(instance, 52, "one more"), dg.RunRequest)


def test_attempts_that_a_clock_which_was_moved_back_puts_into_the_future_count(instance, monkeypatch):
    for _ in range(MAX_ATTEMPTS):
        add_run(instance, RETRAINING_JOB, dg.DagsterRunStatus.FAILURE, {CORRECTIONS_TAG: "these"})
    moved_back = datetime.now(UTC) - timedelta(days=3)
    monkeypatch.setattr(automation_module, "_now", lambda: moved_back)
    assert "failed 3 times" in str(request_for(instance, 51).skip_message)


def write_image(folder: Path, name: str) -> None:
    (folder / "glioma").mkdir(parents=True, exist_ok=True)
    import numpy as np

    (folder / "glioma" / name).write_bytes(encode_jpeg(np.zeros((9, 9), np.uint8)))


def tick(instance: dg.DagsterInstance, folder: Path, bucket: Path, cursor: str | None = None) -> dg.SensorResult:
    sensor = _source_sensor(load_settings())
    resources = {
        "source": SourceResource(uri=str(folder), batch_size=2, max_undecodable_share=0.0),
        "bucket": BucketResource(uri=str(bucket), inference_uri=str(bucket)),
    }
    result = sensor(dg.build_sensor_context(instance=instance, resources=resources, cursor=cursor))
    assert isinstance(result, dg.SensorResult)
    return result


def apply(instance: dg.DagsterInstance, result: dg.SensorResult) -> None:
    for request in result.dynamic_partitions_requests or []:
        if isinstance(request, dg.AddDynamicPartitionsRequest):
            instance.add_dynamic_partitions(BATCH, list(request.partition_keys))
        else:
            for key in request.partition_keys:
                instance.delete_dynamic_partition(BATCH, key)


def requested(result: dg.SensorResult) -> list[str | None]:
    return [request.partition_key for request in result.run_requests or []]


def report_done(instance: dg.DagsterInstance, bucket: Path, *names: str | None) -> None:
    for name in names:
        for asset in ("raw_images", "image_statistics"):
            LocalBucket(bucket).write(f"assets/{asset}/{name}/value.parquet", b"")
        instance.report_runless_asset_event(dg.AssetMaterialization("image_statistics", partition=name))


@pytest.mark.parametrize("folder", ["absent", "empty"])
def test_a_source_that_cannot_be_used_is_a_reason_in_dagit(instance, tmp_path, folder):
    (tmp_path / "empty" / "glioma").mkdir(parents=True)
    result = tick(instance, tmp_path / folder, tmp_path / "bucket")
    assert "cannot be used" in str(result.skip_reason)
    assert not (tmp_path / "bucket").exists()


def test_a_folder_that_is_no_class_is_a_reason_in_dagit(instance, tmp_path):
    write_image(tmp_path / "source", "1.jpg")
    (tmp_path / "source" / "gliomas").mkdir()
    assert "gliomas" in str(tick(instance, tmp_path / "source", tmp_path / "bucket").skip_reason)


def test_the_first_look_reads_everything_in_batches_and_observes_the_source(instance, tmp_path):
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        write_image(tmp_path / "source", name)
    result = tick(instance, tmp_path / "source", tmp_path / "bucket")
    assert [name[:5] for name in requested(result)] == ["00001", "00002"]
    apply(instance, result)
    assert sorted(instance.get_dynamic_partitions(BATCH)) == requested(result)
    (observation,) = result.asset_events
    assert observation.metadata["new_images"].value == 3
    assert observation.tags["dagster/data_version"] == result.cursor


def test_an_unchanged_source_starts_nothing_and_is_not_observed_again(instance, tmp_path):
    write_image(tmp_path / "source", "1.jpg")
    first = tick(instance, tmp_path / "source", tmp_path / "bucket")
    apply(instance, first)
    report_done(instance, tmp_path / "bucket", *requested(first))
    again = tick(instance, tmp_path / "source", tmp_path / "bucket", first.cursor)
    assert requested(again) == []
    assert "nothing is new" in str(again.skip_reason)
    assert again.asset_events == []


def test_only_what_is_new_is_read(instance, tmp_path):
    write_image(tmp_path / "source", "1.jpg")
    first = tick(instance, tmp_path / "source", tmp_path / "bucket")
    apply(instance, first)
    report_done(instance, tmp_path / "bucket", *requested(first))
    write_image(tmp_path / "source", "2.jpg")
    (name,) = requested(tick(instance, tmp_path / "source", tmp_path / "bucket", first.cursor))
    assert name is not None
    assert name.startswith("00002-")


def test_a_batch_that_is_being_read_is_not_asked_for_again_and_one_that_failed_is(instance, tmp_path):
    write_image(tmp_path / "source", "1.jpg")
    (name,) = requested(tick(instance, tmp_path / "source", tmp_path / "bucket"))
    run = add_run(instance, ingest_batch.name, dg.DagsterRunStatus.STARTED, {PARTITION_TAG: name})
    assert requested(tick(instance, tmp_path / "source", tmp_path / "bucket")) == []
    instance.report_run_failed(run)
    assert requested(tick(instance, tmp_path / "source", tmp_path / "bucket")) == [name]
    for _ in range(MAX_ATTEMPTS):
        add_run(instance, ingest_batch.name, dg.DagsterRunStatus.FAILURE, {PARTITION_TAG: name})
    assert requested(tick(instance, tmp_path / "source", tmp_path / "bucket")) == []


def test_batches_that_are_being_read_and_those_that_wait_for_a_person_are_told_apart(instance, tmp_path):
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        write_image(tmp_path / "source", name)
    read, failed = requested(tick(instance, tmp_path / "source", tmp_path / "bucket"))
    add_run(instance, ingest_batch.name, dg.DagsterRunStatus.STARTED, {PARTITION_TAG: str(read)})
    for _ in range(MAX_ATTEMPTS):
        add_run(instance, ingest_batch.name, dg.DagsterRunStatus.FAILURE, {PARTITION_TAG: str(failed)})
    reason = str(tick(instance, tmp_path / "source", tmp_path / "bucket").skip_reason)
    assert f"3 images in the source; being read: batch {read}; failed 3 times within a day: batch {failed}," in reason
    assert "no reason that Dagster knows, see its last run." in reason
    assert "then launch `ingest_batch` for the batch in Dagit, or wait a day." in reason


def test_many_batches_are_counted_and_only_the_first_named():
    assert _batches(["a"]) == "batch a"
    assert _batches(["a", "b", "c"]) == "batches a, b, c"
    assert _batches(["a", "b", "c", "d", "e"]) == "batches a, b, c and 2 more"


def test_another_bucket_is_filled_again_and_forgets_the_batches_that_it_does_not_hold(instance, tmp_path):
    write_image(tmp_path / "source", "1.jpg")
    first = tick(instance, tmp_path / "source", tmp_path / "bucket")
    apply(instance, first)
    report_done(instance, tmp_path / "bucket", *requested(first))
    write_image(tmp_path / "source", "2.jpg")
    second = tick(instance, tmp_path / "source", tmp_path / "bucket", first.cursor)
    apply(instance, second)
    report_done(instance, tmp_path / "bucket", *requested(second))
    other = tick(instance, tmp_path / "source", tmp_path / "other", second.cursor)
    apply(instance, other)
    assert len(requested(other)) == 1
    assert instance.get_dynamic_partitions(BATCH) == requested(other)
    back = tick(instance, tmp_path / "source", tmp_path / "bucket", other.cursor)
    apply(instance, back)
    assert requested(back) == []
    assert sorted(instance.get_dynamic_partitions(BATCH)) == sorted(requested(first) + requested(second))


def test_a_batch_that_was_replaced_before_it_was_read_is_forgotten(instance, tmp_path):
    write_image(tmp_path / "source", "1.jpg")
    first = tick(instance, tmp_path / "source", tmp_path / "bucket")
    apply(instance, first)
    (tmp_path / "source" / "glioma" / "1.jpg").write_bytes(b"another")
    second = tick(instance, tmp_path / "source", tmp_path / "bucket", first.cursor)
    apply(instance, second)
    assert instance.get_dynamic_partitions(BATCH) == requested(second) != requested(first)


def test_the_sensors_are_those_of_the_data_the_feedback_and_the_champion():
    names = [sensor.name for sensor in automation(load_settings())]
    assert names == [
        "source_sensor", "data_flow", "feedback_threshold_sensor", "champion_alias_sensor",
        "promotion_request_sensor", "erasure_sensor", "shadow_sensor",
    ]  # fmt: skip
