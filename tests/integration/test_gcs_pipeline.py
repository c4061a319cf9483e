"""The data half of the graph with its source and its bucket on Google Cloud Storage, against an emulator."""

import dagster as dg
import pandas as pd
import pytest

from brain_assets.asset_store import AssetStore, ImageSet
from brain_assets.definitions import build_definitions
from brain_assets.ml.cloud_sources import GcsSource
from brain_core import storage
from brain_core.data_versions import data_versions, read_finding
from brain_core.labels import CLASSES
from brain_core.settings import load_settings
from brain_core.storage import GcsBucket
from tests.fixtures_images import distinct_jpeg
from tests.integration.test_data_flow import Pipeline, failed_checks

IMAGES = {f"{CLASSES[seed % 4]}/{seed:02}.jpg": distinct_jpeg(seed) for seed in range(24)}


class CloudPipeline(Pipeline):
    """The real definitions on two prefixes of one bucket."""

    def __init__(self, home, instance, gcs_bucket, gcs_client):
        self.source = GcsBucket(gcs_bucket.name, "source", gcs_client)
        self.bucket = GcsBucket(gcs_bucket.name, "platform", gcs_client)
        address = f"gs://{gcs_bucket.name}"
        settings = load_settings(
            home=home,
            source={"uri": f"{address}/source", "batch_size": 12},
            bucket={"uri": f"{address}/platform"},
        )
        self.definitions = build_definitions(settings)
        self.repository = self.definitions.get_repository_def()
        self.instance = instance
        self.cursor = None
        self.flow = None

    def write(self, path, data):
        self.source.write(path, data)

    def value(self, asset, kind=pd.DataFrame):
        return AssetStore(self.bucket).read(asset, kind)


@pytest.fixture
def pipeline(tmp_path, gcs_bucket, gcs_client, gcs_url, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_url)
    monkeypatch.setenv("BRAIN_HOME", str(tmp_path))
    with dg.DagsterInstance.ephemeral() as instance:
        pipeline = CloudPipeline(tmp_path, instance, gcs_bucket, gcs_client)
        for path, data in IMAGES.items():
            pipeline.write(path, data)
        yield pipeline


@pytest.fixture
def read_paths(monkeypatch):
    """Paths of the images that were fetched from the source."""
    paths: list[str] = []
    read = GcsSource.read

    def recorded(source, image):
        paths.append(image.path)
        return read(source, image)

    monkeypatch.setattr(GcsSource, "read", recorded)
    return paths


def test_images_flow_from_bucket_to_bucket_into_values_that_anyone_can_read(pipeline, tmp_path):
    batches = pipeline.ingest()
    assert len(batches) == 2
    result = pipeline.build()
    assert result.success
    assert failed_checks(result) == set()
    manifest = pipeline.manifest()
    assert {row.path: pipeline.bucket.read(row.key) for row in manifest.itertuples()} == IMAGES
    assert sorted(pipeline.value(f"raw_images/{batches[0]}")["path"]) == sorted(IMAGES)[:12]
    keys = set(manifest["key"])
    for asset in ("current_statistics", "duplicate_groups", "dataset_splits"):
        assert set(pipeline.value(asset)["key"]) == keys
    splits = pipeline.value("dataset_splits")
    held_out = pipeline.value("transformed_test_set", ImageSet)
    assert set(held_out.keys) == set(splits.loc[splits["part"] == "test", "key"])
    assert held_out.images[:].std() > 0
    (version,) = data_versions(pipeline.bucket)
    assert (version.images, len(read_finding(pipeline.bucket, version.version, "splits"))) == (24, 12)
    # Nothing but the cache of downloaded images is left on this machine.
    assert {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")} <= {"cache"}


def test_after_one_image_was_added_only_that_one_is_read(pipeline, read_paths):
    batches = pipeline.ingest()
    assert sorted(read_paths) == sorted(IMAGES)
    assert pipeline.build().success
    before = pipeline.value("dataset_splits").set_index("key")["part"]
    read_paths.clear()
    assert pipeline.look() == []
    pipeline.write("glioma/new.jpg", distinct_jpeg(100))
    (added,) = pipeline.ingest()
    assert added not in batches
    assert read_paths == ["glioma/new.jpg"]
    assert pipeline.value(f"raw_images/{added}")["path"].tolist() == ["glioma/new.jpg"]
    result = pipeline.build()
    assert result.success
    assert failed_checks(result) == set()
    assert read_paths == ["glioma/new.jpg"]
    assert len(pipeline.manifest()) == 25
    after = pipeline.value("dataset_splits").set_index("key")["part"]
    assert set(after.index) - set(before.index) == {"data/Training/glioma/new.jpg"}


def test_annotations_are_read_from_the_source_bucket(pipeline):
    pipeline.write("annotations.csv", b"file,patient\nglioma/00.jpg,p1\nglioma/04.jpg,p1\nabsent.jpg,p2\n")
    pipeline.ingest()
    result = pipeline.make("image_manifest", "current_statistics", "annotations", "duplicate_groups", "dataset_splits")
    assert result.success
    metadata = result.asset_materializations_for_node("annotations")[0].metadata
    assert (metadata["patients"].value, "absent.jpg" in str(metadata["left_out"].value)) == (1, True)
    splits = pipeline.value("dataset_splits").set_index("key")
    assert splits.loc[["data/Training/glioma/00.jpg", "data/Training/glioma/04.jpg"], "component"].nunique() == 1


def test_a_bucket_that_is_not_there_fails_the_batch_and_records_nothing(
    pipeline, gcs_bucket, gcs_client, tmp_path, monkeypatch
):
    monkeypatch.setattr(storage, "GCS_RETRY_S", 0.5)
    (first, _) = pipeline.look()
    settings = load_settings(
        home=tmp_path, source={"uri": f"gs://{gcs_bucket.name}/source"}, bucket={"uri": "gs://absent-bucket/platform"}
    )
    job = build_definitions(settings).resolve_job_def("ingest_batch")
    result = job.execute_in_process(instance=pipeline.instance, partition_key=first, raise_on_error=False)
    assert not result.success
    (failure,) = result.get_step_failure_events()
    assert "There is no bucket 'absent-bucket'" in str(failure.event_specific_data.error)
    assert pipeline.instance.get_materialized_partitions(dg.AssetKey("raw_images")) == set()
