"""The data half of the graph as Dagster runs it: batches, manifest, checks, and what flows down by itself."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster_webserver.webserver import DagsterWebserver
from starlette.testclient import TestClient

from brain_assets.asset_store import AssetStore
from brain_assets.definitions import build_definitions
from brain_assets.defs.automation import BATCH, LAST_OF_BATCH, MAX_ATTEMPTS
from brain_assets.defs.training_runs import BUILD_JOB, RETRAINING_JOB
from brain_assets.ml.rehearsal import NO_FEEDBACK
from brain_assets.ml.versions import read_version
from brain_cli.build import jobs_to_run
from brain_cli.dagster_client import DagsterClient, SensorTick
from brain_core.data_versions import data_versions, read_finding, report_key
from brain_core.labels import CLASSES
from brain_core.settings import load_settings
from brain_core.storage import LocalBucket
from tests.fixtures_images import distinct_jpeg

DATA_ASSETS = (
    "image_manifest", "current_statistics", "annotations", "histograms", "duplicate_groups", "dataset_splits",
    "shortcut_audit", "transformed_test_set",
)  # fmt: skip
DEFINITIONS = """
from brain_assets.definitions import build_definitions
from brain_core.settings import load_settings

defs = build_definitions(load_settings())
"""


class Pipeline:
    """The real definitions on a folder and a bucket of their own, with an instance in memory."""

    def __init__(self, root: Path, instance: dg.DagsterInstance, batch_size: int = 12) -> None:
        self.source = root / "source"
        self.bucket = LocalBucket(root / "bucket")
        settings = load_settings(
            home=root, source={"uri": str(self.source), "batch_size": batch_size}, bucket={"uri": str(self.bucket.root)}
        )
        self.definitions = build_definitions(settings)
        self.repository = self.definitions.get_repository_def()
        self.instance = instance
        self.cursor: str | None = None
        self.reason = ""
        self.flow: Any = None

    def write(self, path: str, data: bytes) -> None:
        (self.source / path).parent.mkdir(parents=True, exist_ok=True)
        (self.source / path).write_bytes(data)

    def look(self) -> list[str]:
        """One look of the source sensor, as the daemon does it; the batches that it asks for."""
        sensor = self.definitions.get_sensor_def("source_sensor")
        resources = {name: self.definitions.resources[name] for name in ("source", "bucket")}
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources=resources) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        for request in result.dynamic_partitions_requests or []:
            if isinstance(request, dg.AddDynamicPartitionsRequest):
                self.instance.add_dynamic_partitions(BATCH, list(request.partition_keys))
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        self.cursor, self.reason = result.cursor, result.skip_reason.skip_message if result.skip_reason else ""
        return [str(request.partition_key) for request in result.run_requests or []]

    def ingest(self) -> list[str]:
        names = self.look()
        for name in names:
            assert self.read_batch(name).success
        return names

    def read_batch(self, batch: str) -> dg.ExecuteInProcessResult:
        job = self.definitions.resolve_job_def("ingest_batch")
        return job.execute_in_process(instance=self.instance, partition_key=batch, raise_on_error=False)

    def build(self) -> dg.ExecuteInProcessResult:
        return self.make(*DATA_ASSETS)

    def make(self, *names: str, job: str = BUILD_JOB) -> dg.ExecuteInProcessResult:
        keys = [dg.AssetKey(name) for name in names]
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance, asset_selection=keys, raise_on_error=False
        )

    def flows(self) -> set[str]:
        """What declarative automation asks for since the last look."""
        result = dg.evaluate_automation_conditions(self.definitions, self.instance, cursor=self.flow)
        self.flow = result.cursor
        keys = self.definitions.resolve_asset_graph().get_all_asset_keys()
        return {key.to_user_string() for key in keys if result.get_num_requested(key)}

    def manifest(self):
        import pandas as pd

        return AssetStore(self.bucket).read("image_manifest", pd.DataFrame)


def set_environment(patch: pytest.MonkeyPatch, root: Path, batch_size: int) -> None:
    """What the platform's own processes find: home, source and bucket below `root`."""
    for name, value in {
        "BRAIN_HOME": root,
        "BRAIN_SOURCE__URI": root / "source",
        "BRAIN_SOURCE__BATCH_SIZE": batch_size,
        "BRAIN_BUCKET__URI": root / "bucket",
    }.items():
        patch.setenv(name, str(value))


@pytest.fixture
def _settings(tmp_path, monkeypatch) -> None:
    set_environment(monkeypatch, tmp_path, batch_size=12)


@pytest.fixture
def pipeline(tmp_path, _settings):
    with dg.DagsterInstance.ephemeral() as instance:
        yield filled(Pipeline(tmp_path, instance))


@pytest.fixture
def kept_pipeline(tmp_path, _settings):
    """One whose instance Dagster's web server can open too."""
    (tmp_path / "history").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "history")) as instance:
        yield filled(Pipeline(tmp_path, instance))


def filled(pipeline: Pipeline) -> Pipeline:
    for seed in range(24):
        pipeline.write(f"{CLASSES[seed % 4]}/{seed:02}.jpg", distinct_jpeg(seed))
    return pipeline


@contextmanager
def dagit(pipeline: Pipeline) -> Iterator[DagsterClient]:
    """The command's own client on Dagster's web server, without a port between them."""
    file = pipeline.source.with_name("definitions.py")
    file.write_text(DEFINITIONS)
    origin = InProcessCodeLocationOrigin(LoadableTargetOrigin(python_file=str(file)), location_name="brain_assets")
    with WorkspaceProcessContext(pipeline.instance, InProcessWorkspaceLoadTarget(origin)) as workspace:
        client = DagsterClient("http://dagit", pipeline.bucket)
        client._http = TestClient(DagsterWebserver(workspace).create_asgi_app())
        yield client


def failed_checks(result: dg.ExecuteInProcessResult) -> set[str]:
    return {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}


def test_batches_are_read_one_by_one_and_joined(pipeline):
    assert len(pipeline.ingest()) == 2
    result = pipeline.build()
    assert result.success
    assert failed_checks(result) == set()
    assert len(pipeline.manifest()) == 24
    splits = result.output_for_node("dataset_splits")
    assert {(part, label) for part, label in zip(splits["part"], splits["label"], strict=True)} == {
        (part, label) for part in ("train", "validation", "test") for label in CLASSES
    }


def test_only_new_images_are_read_and_removed_and_replaced_ones_leave_the_manifest(pipeline):
    pipeline.ingest()
    first = pipeline.build()
    assert pipeline.look() == []
    pipeline.write("glioma/new.jpg", distinct_jpeg(100))
    pipeline.write("glioma/00.jpg", distinct_jpeg(101))
    (pipeline.source / "glioma/04.jpg").unlink()
    (batch,) = pipeline.ingest()
    assert pipeline.build().success
    manifest = pipeline.manifest()
    assert set(manifest.loc[manifest["batch"] == batch, "path"]) == {"glioma/new.jpg", "glioma/00.jpg"}
    assert "glioma/04.jpg" not in set(manifest["path"])
    assert len(manifest) == 24
    before, after = data_versions(pipeline.bucket)
    assert before.version == first.asset_materializations_for_node("image_manifest")[0].metadata["version"].value
    assert "glioma/04.jpg" in set(read_version(pipeline.bucket, before.version)[1]["path"])
    assert after.images == 24


def test_slices_of_one_patient_stay_together_and_bad_annotations_are_listed(pipeline):
    rows = [f"glioma/{seed:02}.jpg,p1,0.1,0.1,0.4,0.5" for seed in range(0, 16, 4)]
    pipeline.write("annotations.csv", "\n".join(["file,patient,x0,y0,x1,y1", *rows, "absent.jpg,p2,,,,"]).encode())
    pipeline.ingest()
    result = pipeline.build()
    assert result.success
    splits = result.output_for_node("dataset_splits").set_index("key")
    same_patient = [f"data/Training/glioma/{seed:02}.jpg" for seed in range(0, 16, 4)]
    assert splits.loc[same_patient, "part"].nunique() == 1
    assert splits.loc[same_patient, "group"].nunique() == 4
    metadata = result.asset_materializations_for_node("annotations")[0].metadata
    assert metadata["images_with_box"].value == 4
    assert "absent.jpg" in str(metadata["left_out"].value)


def test_annotations_that_come_later_are_noticed_and_no_image_is_read_again(kept_pipeline):
    pipeline = kept_pipeline
    pipeline.flows()
    pipeline.ingest()
    pipeline.build()
    pipeline.flows()
    with dagit(pipeline) as client:
        assert "annotations" not in jobs_to_run(client.assets())[0][1]
        pipeline.write("annotations.csv", b"file,patient\nglioma/00.jpg,p1\n")
        assert pipeline.look() == []
        assert "annotations" in jobs_to_run(client.assets())[0][1]
    assert "annotations" in pipeline.flows()
    result = pipeline.build()
    assert result.asset_materializations_for_node("annotations")[0].metadata["patients"].value == 1
    assert pipeline.look() == []
    pipeline.flows()
    assert pipeline.flows() == set()


def test_images_that_are_added_make_the_annotations_again_once_they_are_read(pipeline):
    pipeline.flows()
    pipeline.ingest()
    pipeline.build()
    pipeline.flows()
    pipeline.write("glioma/new.jpg", distinct_jpeg(100))
    (batch,) = pipeline.look()
    assert pipeline.flows() == set()
    pipeline.read_batch(batch)
    assert {"image_manifest", "annotations"} <= pipeline.flows()


def test_a_test_image_stays_one_and_what_hangs_together_with_it_follows(pipeline):
    pipeline.ingest()
    before = pipeline.build().output_for_node("dataset_splits").set_index("key")["part"]
    test_key = before.index[before == "test"][0]
    label = test_key.split("/")[2]
    copy = (pipeline.bucket.root / test_key).read_bytes()
    pipeline.write(f"{label}/copy.jpg", copy)
    for seed in range(200, 212):
        pipeline.write(f"{CLASSES[seed % 4]}/{seed}.jpg", distinct_jpeg(seed))
    pipeline.ingest()
    after = pipeline.build().output_for_node("dataset_splits").set_index("key")["part"]
    assert after.loc[before.index].equals(before)
    assert after[f"data/Training/{label}/copy.jpg"] == "test"


def test_what_was_found_out_is_kept_for_the_data_page(pipeline):
    pipeline.ingest()
    pipeline.build()
    (version,) = data_versions(pipeline.bucket)
    assert len(read_finding(pipeline.bucket, version.version, "splits")) == 12
    assert read_finding(pipeline.bucket, version.version, "leakage") == []
    assert read_finding(pipeline.bucket, version.version, "shortcuts")[0]["note"]
    assert pipeline.bucket.exists(report_key(version.version, "shortcuts.png"))


def test_unreadable_images_are_listed_and_too_many_of_them_stop_everything_below(pipeline):
    pipeline.write("glioma/zero.jpg", b"")
    pipeline.write("glioma/text.jpg", b"not an image")
    pipeline.write("glioma/truncated.jpg", distinct_jpeg(5)[:200])
    pipeline.ingest()
    result = pipeline.build()
    assert not result.success
    assert failed_checks(result) == {"images_decode"}
    assert result.asset_materializations_for_node("current_statistics") == []
    bad = pipeline.manifest().query("not decodes")
    assert len(bad) == 3
    assert bad["reason"].str.len().min() > 10


def test_a_run_that_was_killed_in_the_middle_of_a_batch_loses_nothing_and_repeats_nothing(pipeline):
    (first, second) = pipeline.look()
    job = pipeline.definitions.resolve_job_def("ingest_batch")
    assert job.execute_in_process(instance=pipeline.instance, partition_key=first).success
    # What a kill leaves: some images of the batch are in the bucket, the partition is not recorded.
    half = sorted(pipeline.source.rglob("*.jpg"))[12:18]
    for path in half:
        key = f"data/Training/{path.relative_to(pipeline.source).as_posix()}"
        pipeline.bucket.write(key, path.read_bytes())
    assert pipeline.ingest() == [second]
    assert pipeline.build().success
    manifest = pipeline.manifest()
    assert manifest["key"].is_unique
    assert len(manifest) == 24
    assert sorted(pipeline.instance.get_materialized_partitions(LAST_OF_BATCH)) == [first, second]


def test_a_source_that_goes_away_in_the_middle_of_a_run_fails_it_and_the_next_look_tries_again(pipeline):
    (first, second) = pipeline.look()
    away = pipeline.source.rename(pipeline.source.with_name("away"))
    job = pipeline.definitions.resolve_job_def("ingest_batch")
    assert not job.execute_in_process(instance=pipeline.instance, partition_key=first, raise_on_error=False).success
    assert pipeline.look() == []
    away.rename(pipeline.source)
    assert pipeline.look() == [first, second]


def test_a_batch_that_keeps_failing_is_named_with_its_cause_until_a_person_has_it_read(pipeline):
    pipeline.bucket.write("data", b"a file where a folder should be")
    batches = pipeline.look()
    for batch in batches * MAX_ATTEMPTS:
        assert not pipeline.read_batch(batch).success
    assert pipeline.look() == []
    assert f"failed 3 times within a day: batches {', '.join(batches)}, the last time with" in pipeline.reason
    assert "Not a directory" in pipeline.reason
    assert "launch `ingest_batch`" in pipeline.reason
    pipeline.bucket.delete("data")
    assert all(pipeline.read_batch(batch).success for batch in batches)
    assert pipeline.look() == []
    assert pipeline.reason == "24 images in the source; nothing is new."


def test_a_bucket_that_was_deleted_is_filled_again(kept_pipeline):
    pipeline = kept_pipeline
    batches = pipeline.ingest()
    pipeline.build()
    shutil.rmtree(pipeline.bucket.root)
    with dagit(pipeline) as client:
        missing = {asset.name for asset in client.assets() if not asset.is_materialized}
        assert {"raw_images", "image_statistics", *DATA_ASSETS} <= missing
        assert pipeline.ingest() == batches
        assert pipeline.build().success
        missing = {asset.name for asset in client.assets() if not asset.is_materialized}
        assert not missing & {"raw_images", "image_statistics", *DATA_ASSETS}


def test_a_dry_run_tells_only_where_a_real_look_would_do_nothing(kept_pipeline):
    pipeline = kept_pipeline
    set_cursor = """mutation($sensor: SensorSelector!, $cursor: String) {
        setSensorCursor(sensorSelector: $sensor, cursor: $cursor) { __typename } }"""
    sensor = {"repositoryLocationName": "brain_assets", "repositoryName": "__repository__"}
    sensor["sensorName"] = "source_sensor"
    with dagit(pipeline) as client:
        assert client.dry_run("source_sensor") is None
        pipeline.ingest()
        assert client.dry_run("source_sensor") is None
        client._query(set_cursor, {"sensor": sensor, "cursor": pipeline.cursor})
        expected = SensorTick((), "24 images in the source; nothing is new.", "")
        assert client.dry_run("source_sensor") == expected
        pipeline.source.rename(pipeline.source.with_name("away"))
        gone = client.dry_run("source_sensor")
    assert gone is not None
    assert "The source cannot be used" in gone.skip_reason


def test_new_data_flows_down_by_itself_from_check_to_check(pipeline):
    assert pipeline.flows() == set()
    pipeline.ingest()
    assert pipeline.flows() == {"image_manifest"}
    pipeline.make("image_manifest")
    assert pipeline.flows() == {
        "current_statistics", "annotations", "histograms", "duplicate_groups", "dataset_splits", "shortcut_audit",
    }  # fmt: skip


def test_new_data_stops_at_a_failed_check(pipeline):
    pipeline.flows()
    pipeline.write("glioma/zero.jpg", b"")
    pipeline.ingest()
    assert pipeline.flows() == {"image_manifest"}
    pipeline.make("image_manifest")
    assert pipeline.flows() == set()


@pytest.mark.parametrize(
    ("job", "next_assets"), [(BUILD_JOB, {"augmented_dataset", "trained_model"}), (RETRAINING_JOB, set())]
)
def test_what_a_retraining_that_was_cut_off_had_made_is_left_to_the_next_one(pipeline, job, next_assets):
    pipeline.ingest()
    assert pipeline.build().success
    AssetStore(pipeline.bucket).write("feedback_set", NO_FEEDBACK)
    pipeline.instance.report_runless_asset_event(dg.AssetMaterialization("feedback_set"))
    assert pipeline.make("training_set", job=BUILD_JOB).success
    pipeline.flows()
    assert pipeline.make("training_set", job=job).success
    assert pipeline.flows() == next_assets
