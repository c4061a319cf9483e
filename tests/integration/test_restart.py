"""What a killed run, a lost source or another version left, and what the next start makes of it."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from brain_assets.asset_store import AssetStore
from brain_assets.definitions import build_definitions
from brain_assets.ml.ingestion import THREADS
from brain_cli.build import jobs_to_run
from brain_cli.embedded_postgres import embedded_postgres
from brain_cli.parts import DAGSTER_YAML
from brain_cli.stopping import stop_platform
from brain_cli.upgrades import DAGSTER
from brain_core.database import upgrade_database
from brain_core.labels import CLASSES
from brain_core.settings import load_settings, sqlalchemy_url
from brain_core.storage import dataset_image_key
from brain_core.tables import Base
from tests.fixtures_images import distinct_jpeg
from tests.fixtures_platform import eventually, free_ports
from tests.integration.test_data_flow import DATA_ASSETS, Pipeline, dagit, set_environment
from tests.integration.test_running_platform import Home, finish
from tests.integration.test_upgrades import execute, revisions, step_back, tables

BATCH_ASSETS = (dg.AssetKey("raw_images"), dg.AssetKey("image_statistics"))
READ_A_BATCH = """
import sys
import dagster as dg
from brain_assets.definitions import build_definitions
from brain_core.settings import load_settings

history, batch = sys.argv[1:]
with dg.DagsterInstance.local_temp(history) as instance:
    job = build_definitions(load_settings()).resolve_job_def("ingest_batch")
    job.execute_in_process(instance=instance, partition_key=batch)
"""


class Restarted(Pipeline):
    """The pipeline with one batch of four dozen images."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        super().__init__(root, instance)
        self.definitions = build_definitions(load_settings())
        self.images = {f"{CLASSES[seed % 4]}/{seed:02}.jpg": distinct_jpeg(seed) for seed in range(48)}

    def write_images(self) -> "Restarted":
        for path, data in self.images.items():
            self.write(path, data)
        return self

    def copied(self) -> dict[str, int]:
        """The images in the bucket, and when each was written."""
        return {key: (self.bucket.root / key).stat().st_mtime_ns for key in self.bucket.keys("data/")}

    def recorded(self) -> set[str]:
        return set().union(*(self.instance.get_materialized_partitions(asset) for asset in BATCH_ASSETS))

    def assert_whole(self) -> None:
        """Every image of the source is in the manifest and in the bucket once, as it is in the source."""
        assert self.make("image_manifest", "current_statistics").success
        assert self.manifest()["path"].tolist() == sorted(self.images)
        assert {key: self.bucket.read(key) for key in self.bucket.keys("data/")} == {
            dataset_image_key("", path): data for path, data in self.images.items()
        }


@pytest.fixture
def _settings(tmp_path, monkeypatch) -> None:
    """What a child process finds too."""
    set_environment(monkeypatch, tmp_path, batch_size=48)


@pytest.fixture
def pipeline(tmp_path, _settings) -> Iterator[Restarted]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Restarted(tmp_path, instance).write_images()


@pytest.fixture
def history(tmp_path) -> Path:
    """Where Dagster keeps what it did, across processes."""
    folder = tmp_path / "history"
    folder.mkdir()
    return folder


@pytest.fixture
def kept_pipeline(tmp_path, _settings, history) -> Iterator[Restarted]:
    """One whose history outlives the process."""
    with dg.DagsterInstance.local_temp(str(history)) as instance:
        yield Restarted(tmp_path, instance).write_images()


class Gate:
    """Pipes in the place of some images: whoever reads those waits, so that a batch stands still in its middle."""

    def __init__(self, pipeline: Restarted, aside: Path) -> None:
        aside.mkdir()
        self.before = sorted(pipeline.images)[:20]
        self._pipeline, self._aside = pipeline, aside
        self._gated = sorted(pipeline.images)[20 : 20 + THREADS]
        for number, path in enumerate(self._gated):
            (pipeline.source / path).rename(aside / str(number))
            os.mkfifo(pipeline.source / path)

    @property
    def keys_before(self) -> set[str]:
        return {dataset_image_key("", path) for path in self.before}

    def remove(self) -> None:
        """Put the images back, unchanged to the last time stamp."""
        for number, path in enumerate(self._gated):
            (self._aside / str(number)).replace(self._pipeline.source / path)

    def open_after(self, what) -> threading.Thread:
        """Once all who read wait, do something, and then let them read what they wait for."""

        def work() -> None:
            pipes = [(self._pipeline.source / path).open("wb", buffering=0) for path in self._gated]
            what()
            for path, pipe in zip(self._gated, pipes, strict=True):
                pipe.write(self._pipeline.images[path])
                pipe.close()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread


def test_a_kill_in_the_middle_of_a_batch_loses_nothing_and_repeats_nothing(kept_pipeline, history, tmp_path):
    pipeline = kept_pipeline
    (batch,) = pipeline.look()
    gate = Gate(pipeline, tmp_path / "aside")
    process = subprocess.Popen([sys.executable, "-c", READ_A_BATCH, str(history), batch], stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: pipeline.copied().keys() == gate.keys_before, 60, "the images before the gate are copied")
        assert process.poll() is None
    finally:
        process.kill()
    assert process.wait(30) == -signal.SIGKILL
    copied = pipeline.copied()
    assert pipeline.recorded() == set()
    gate.remove()

    # Dagster takes that run for a running one, until the next start of the platform ends it.
    assert pipeline.look() == []
    with dagit(pipeline) as client:
        assert client.cancel_interrupted(time.time()) == 1
    assert pipeline.ingest() == [batch]
    assert pipeline.look() == []
    pipeline.assert_whole()
    assert {key: pipeline.copied()[key] for key in copied} == copied
    for asset in BATCH_ASSETS:
        assert len(pipeline.instance.fetch_materializations(asset, limit=9).records) == 1


def test_a_source_that_goes_away_in_the_middle_of_a_batch_fails_it_and_once_back_it_is_read(pipeline, tmp_path):
    (batch,) = pipeline.look()
    gate, away = Gate(pipeline, tmp_path / "aside"), tmp_path / "away"
    thread = gate.open_after(lambda: pipeline.source.rename(away))
    result = pipeline.read_batch(batch)
    thread.join(30)
    (failure,) = result.get_step_failure_events()
    assert failure.step_key == "raw_images"
    error = str(failure.event_specific_data.error)
    assert "SourceMissing" in error
    assert f"{pipeline.source}/" in error
    assert "cannot be read: No such file or directory. Check that it is there and readable." in error
    assert gate.keys_before < set(pipeline.copied())
    assert len(pipeline.copied()) < len(pipeline.images)
    assert pipeline.recorded() == set()
    assert list(pipeline.bucket.keys("assets/raw_images/")) == []

    assert pipeline.look() == []
    away.rename(pipeline.source)
    gate.remove()
    assert pipeline.ingest() == [batch]
    pipeline.assert_whole()


def test_an_image_that_is_deleted_before_its_batch_is_read_fails_it_once_and_is_then_left_out(pipeline):
    (batch,) = pipeline.look()
    (pipeline.source / "glioma/04.jpg").unlink()
    result = pipeline.read_batch(batch)
    (failure,) = result.get_step_failure_events()
    assert "glioma/04.jpg cannot be read: No such file" in str(failure.event_specific_data.error)
    assert pipeline.recorded() == set()
    del pipeline.images["glioma/04.jpg"]
    assert pipeline.ingest() == [batch]
    assert pipeline.make("image_manifest").success
    assert pipeline.manifest()["path"].tolist() == sorted(pipeline.images)


def test_a_restart_makes_nothing_again_and_after_a_change_only_what_hangs_on_it(kept_pipeline, history, tmp_path):
    (first,) = kept_pipeline.ingest()
    assert kept_pipeline.build().success
    with dg.DagsterInstance.local_temp(str(history)) as instance, dagit(Restarted(tmp_path, instance)) as client:

        def wanted() -> list[tuple[str, tuple[str, ...]]]:
            return jobs_to_run([asset for asset in client.assets() if asset.name in DATA_ASSETS])

        again = Restarted(tmp_path, instance)
        assert (again.look(), wanted()) == ([], [])

        again.write("glioma/new.jpg", distinct_jpeg(100))
        (added,) = again.ingest()
        assert AssetStore(again.bucket).read(f"raw_images/{added}", pd.DataFrame)["path"].tolist() == ["glioma/new.jpg"]
        assert wanted() == [("data_and_model_build", tuple(sorted(DATA_ASSETS)))]
        assert again.make(*wanted()[0][1]).success
        assert (again.look(), wanted()) == ([], [])

        instance.wipe_assets([dg.AssetKey("dataset_splits")])
        assert wanted() == [("data_and_model_build", ("dataset_splits", "transformed_test_set"))]
        assert again.make(*wanted()[0][1]).success
        assert wanted() == []
        assert instance.get_materialized_partitions(dg.AssetKey("raw_images")) == {first, added}


@pytest.fixture
def home() -> Iterator[Home]:
    """A BRAIN_HOME in a short path, as Unix sockets want it."""
    with tempfile.TemporaryDirectory(prefix="old-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        home = Home(Path(folder), free_ports(("DAGSTER",))["DAGSTER"])
        yield home
        stop_platform(home.path, print)


def run_dagster(home: Home, url: str, code: str) -> str:
    """Run code with the Dagster instance of a home; what it prints."""
    folder = home.path / "dagster"
    folder.mkdir(exist_ok=True)
    (folder / "dagster.yaml").write_text(DAGSTER_YAML.format(compute_logs=folder / "compute_logs"))
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(folder),
        "BRAIN_DATABASE__DAGSTER_URL": sqlalchemy_url(url),
    }
    command = [sys.executable, "-c", f"from dagster import DagsterInstance; instance = DagsterInstance.get(); {code}"]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=300).stdout


def test_a_home_of_an_older_version_is_upgraded_at_the_start_and_keeps_what_it_knew(home):
    with embedded_postgres(home.path / "postgres") as server:
        run_dagster(home, server.urls["dagster"], "instance.add_dynamic_partitions('batch', ['00001-kept'])")
        (newest,) = revisions(server.urls["dagster"])
        (older,) = DAGSTER.revisions()[newest]
        execute(server.urls["dagster"], f"UPDATE alembic_version SET version_num = '{older}'")
        upgrade_database(sqlalchemy_url(server.urls["brain"]))
        made = revisions(server.urls["brain"])
        step_back(server.urls["brain"])
    process = home.up("calm", "--once")
    output = finish(process)
    assert process.returncode == 0, output
    assert "Upgrading Dagster's tables" in output
    with embedded_postgres(home.path / "postgres") as server:
        assert revisions(server.urls["dagster"]) == {newest}
        assert revisions(server.urls["brain"]) == made
        assert set(Base.metadata.tables) <= tables(server.urls["brain"])
        kept = run_dagster(home, server.urls["dagster"], "print(instance.get_dynamic_partitions('batch'))")
    assert kept.strip() == "['00001-kept']"


def test_a_home_of_a_newer_version_is_refused_at_the_start_and_left_as_it_is(home):
    with embedded_postgres(home.path / "postgres") as server:
        upgrade_database(sqlalchemy_url(server.urls["brain"]))
        execute(server.urls["brain"], "UPDATE alembic_version SET version_num = 'from_the_future'")
    process = home.up("calm")
    output = finish(process)
    assert process.returncode == 1
    assert "A newer version wrote the product's tables: this one does not know their revision from_the_future" in output
    assert "let BRAIN_HOME name another folder" in output
    assert "Traceback" not in output
    assert home.processes() == []
    assert home.state == "stopped"
    with embedded_postgres(home.path / "postgres") as server:
        assert revisions(server.urls["brain"]) == {"from_the_future"}
        assert set(Base.metadata.tables) <= tables(server.urls["brain"])
