"""The bundled model becomes the first champion, with a real MLflow, PostgreSQL and bucket; an interrupted try heals."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import typer
from sqlalchemy import create_engine
from typer.testing import CliRunner

from brain_assets.ml import pretrained
from brain_assets.ml.metrics_table import metrics_table
from brain_assets.ml.pretrained import BUNDLE_TAG, PROMOTED_BY, PretrainedModel, publish_pretrained, read_pretrained
from brain_assets.ml.publishing import Stores, publish_champion, upload_bundle
from brain_assets.ml.registry import CHAMPION, MODEL_NAME, ModelRegistry, TrackedRun
from brain_cli.bundled_command import publish_bundled
from brain_core.bundle import MANIFEST_FILE, MODEL_FILE, load_bundle, read_champion, sha256
from brain_core.errors import DatabaseError, ModelUnavailable, RegistryError, StorageError
from brain_core.storage import LocalBucket, model_key
from tests.fixtures_pretrained import write_pretrained

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def registry(mlflow_url) -> ModelRegistry:
    """Of the session's server, without a champion."""
    registry = ModelRegistry(mlflow_url, timeout_s=20)
    if registry.alias_version(CHAMPION):
        registry._client.delete_registered_model_alias(MODEL_NAME, CHAMPION)
    return registry


@pytest.fixture
def engine(database_url):
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def stores(engine, registry, bucket):
    return Stores(engine, registry, bucket)


@pytest.fixture
def model(tmp_path, request) -> PretrainedModel:
    """One that no other test registers."""
    (tmp_path / "pretrained").mkdir()
    return read_pretrained(write_pretrained(tmp_path / "pretrained", data_version=request.node.name))


def _run(registry) -> TrackedRun:
    with registry.run("training", {}) as run:
        run.log_files({"x": b""}, "bundle")
    return run


def versions(registry, model):
    return [one for one in registry.versions() if one.tags.get(BUNDLE_TAG) == model.fingerprint]


def is_whole(stores, model) -> bool:
    """One run, one version, and the bundle, alias and pointer of it."""
    _, registry, bucket = stores
    (version,) = versions(registry, model)
    (run,) = registry.runs_with_tag(BUNDLE_TAG, model.fingerprint)
    pointer = read_champion(bucket)
    assert version.run is not None
    assert version.run.run_id == run.run_id
    assert (pointer.version, registry.alias_version(CHAMPION)) == (version.version, version.version)
    assert pointer.sha256 == sha256(bucket.read(model_key(version.version, MANIFEST_FILE)))
    return load_bundle(bucket, version.version).manifest.version == version.version


def test_it_becomes_the_first_champion_with_its_figures_and_tags(stores, model):
    published = publish_pretrained(model, stores)
    assert published.is_new
    assert is_whole(stores, model)
    _, registry, bucket = stores
    assert read_champion(bucket).version == published.champion
    (version,) = versions(registry, model)
    assert version.tags["bundled"] == "true"
    assert version.tags["source"] == "public"
    assert version.tags["code_version"] == model.manifest.code_version
    assert version.run is not None
    assert version.run.metrics["test_accuracy_low"] == 0.91
    assert version.run.params["data_version"] == model.manifest.data_version
    row = metrics_table(registry).set_index("version").loc[published.champion]
    assert (row["accuracy"], row["source"], row["aliases"]) == (0.93, "public", "champion")


def test_all_files_are_among_the_artifacts_of_the_run(stores, model):
    publish_pretrained(model, stores)
    registry = stores[1]
    (version,) = versions(registry, model)
    files = {file.path for file in registry._client.list_artifacts(version.run.run_id, "bundle")}
    assert files == {f"bundle/{name}" for name in (*model.files(version.version), "MLmodel")}
    assert registry.files(version.run.run_id, "evaluation") == {"model-card.md": model.model_card}


def test_a_lost_bundle_is_put_back_from_mlflow(stores, model):
    published = publish_pretrained(model, stores)
    for key in list(stores.bucket.keys("models/")):
        stores.bucket.delete(key)
    assert publish_pretrained(model, stores) == published
    assert is_whole(stores, model)


def test_the_hashes_stay_and_only_the_version_of_the_manifest_changes(stores, model):
    published = publish_pretrained(model, stores)
    manifest = load_bundle(stores[2], published.champion).manifest
    assert manifest == model.manifest.model_copy(update={"version": published.champion})


def test_a_second_time_changes_nothing(stores, model):
    first = publish_pretrained(model, stores)
    pointer = read_champion(stores[2])
    again = publish_pretrained(model, stores)
    assert (again.champion, again.is_new) == (first.champion, False)
    assert read_champion(stores[2]) == pointer
    assert is_whole(stores, model)


def test_two_at_once_register_it_once(stores, model):
    threads = [threading.Thread(target=publish_pretrained, args=(model, stores)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert is_whole(stores, model)


def test_another_champion_stays(stores, model):
    engine, registry, bucket = stores
    own = registry.register(_run(registry), "bundle", {})
    upload_bundle(bucket, own, model.files(own))
    pointer = publish_champion(engine, registry, bucket, own, "somebody")
    published = publish_pretrained(model, stores)
    assert (published.champion, published.is_new) == (own, False)
    assert read_champion(bucket) == pointer
    assert versions(registry, model) == []


def test_a_choice_in_mlflow_that_is_not_published_yet_stays(stores, model):
    _, registry, bucket = stores
    own = registry.register(_run(registry), "bundle", {})
    registry.set_alias(CHAMPION, own)
    assert publish_pretrained(model, stores).champion == own
    with pytest.raises(ModelUnavailable):
        read_champion(bucket)


def test_a_champion_that_is_published_in_the_middle_stays(stores, model, monkeypatch):
    other = stores.registry.register(_run(stores.registry), "bundle", {})
    upload_bundle(stores.bucket, other, model.files(other))
    real = pretrained.upload_bundle

    def upload_and_be_overtaken(bucket, version, files):
        real(bucket, version, files)
        publish_champion(*stores, other, "somebody")

    monkeypatch.setattr(pretrained, "upload_bundle", upload_and_be_overtaken)
    published = publish_pretrained(model, stores)
    assert (published.champion, published.is_new) == (other, False)
    assert read_champion(stores.bucket).promoted_by == "somebody"


def test_another_champion_is_replaced_when_that_is_asked_for(stores, model, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    former = publish_pretrained(read_pretrained(write_pretrained(other, data_version="former")), stores)
    published = publish_pretrained(model, stores, replace=True)
    assert published.is_new
    assert published.champion != former.champion
    assert is_whole(stores, model)


class Killed(BaseException):
    """What ends a process in the middle."""


STEPS = ("log_run", "register", "log_manifest", "upload_model", "upload_manifest", "set_alias", "write_pointer")


def killed_at(step: str, patch: pytest.MonkeyPatch) -> None:
    """Let the process end right before a step."""

    def kill_when(target, name: str, condition=lambda *_: True):
        real = getattr(target, name)

        def call(*arguments, **keywords):
            if condition(*arguments):
                raise Killed
            return real(*arguments, **keywords)

        patch.setattr(target, name, call)

    cases = {
        "log_run": (TrackedRun, "log_files", lambda _, files, *__: MODEL_FILE in files),
        "register": (ModelRegistry, "register"),
        "log_manifest": (TrackedRun, "log_files", lambda _, files, *__: MANIFEST_FILE in files),
        "upload_model": (LocalBucket, "write", lambda _, key, *__: key.endswith(MODEL_FILE)),
        "upload_manifest": (LocalBucket, "write", lambda _, key, *__: key.endswith(MANIFEST_FILE)),
        "set_alias": (ModelRegistry, "set_alias"),
        "write_pointer": (LocalBucket, "write", lambda _, key, *__: key.endswith("champion.json")),
    }
    kill_when(*cases[step])


@pytest.mark.parametrize("step", STEPS)
def test_what_an_interrupted_try_left_is_used_by_the_next(stores, model, step):
    with pytest.MonkeyPatch.context() as patch:
        killed_at(step, patch)
        with pytest.raises(Killed):
            publish_pretrained(model, stores)
    with pytest.raises(ModelUnavailable):
        read_champion(stores[2])
    assert publish_pretrained(model, stores).is_new
    assert is_whole(stores, model)


def test_a_store_that_is_away_is_named_and_no_pointer_is_written(stores, model, tmp_path):
    engine, registry, bucket = stores
    away = create_engine(f"postgresql+psycopg2://postgres@/brain?host={tmp_path}")
    with pytest.raises(DatabaseError):
        publish_pretrained(model, Stores(away, registry, bucket))
    with pytest.raises(RegistryError):
        publish_pretrained(model, Stores(engine, ModelRegistry("http://127.0.0.1:9", 2), bucket))
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        publish_pretrained(model, Stores(engine, registry, LocalBucket(tmp_path / "file" / "bucket")))
    with pytest.raises(ModelUnavailable):
        read_champion(bucket)


def test_no_training_library_is_loaded_on_the_way(stores, model, tmp_path, mlflow_url, database_url):
    code = """
import sys
from pathlib import Path
from sqlalchemy import create_engine
from brain_assets.ml.pretrained import publish_pretrained, read_pretrained
from brain_assets.ml.publishing import Stores
from brain_assets.ml.registry import ModelRegistry
from brain_core.storage import LocalBucket
folder, mlflow_url, database_url, bucket = sys.argv[1:]
stores = Stores(create_engine(database_url), ModelRegistry(mlflow_url, 20), LocalBucket(Path(bucket)))
assert publish_pretrained(read_pretrained(Path(folder)), stores).is_new
print({"tensorflow", "keras", "dagster"} & set(sys.modules))
"""
    arguments = [str(tmp_path / "pretrained"), mlflow_url, database_url, str(stores[2].root)]
    result = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.splitlines()[-1:] == ["set()"], result.stderr
    assert read_champion(stores[2]).promoted_by == PROMOTED_BY


def test_the_command_publishes_it_and_says_so_and_then_says_that_it_is_there(
    stores, model, tmp_path, monkeypatch, mlflow_url, database_url
):
    app = typer.Typer()
    app.command()(publish_bundled)
    monkeypatch.setattr(read_pretrained, "__defaults__", (tmp_path / "pretrained",))
    monkeypatch.setenv("BRAIN_DATABASE__URL", database_url)
    monkeypatch.setenv("BRAIN_MLFLOW__URI", mlflow_url)
    monkeypatch.setenv("BRAIN_BUCKET__URI", str(stores[2].root))
    first, second = (CliRunner().invoke(app, [], catch_exceptions=False).output for _ in range(2))
    version = read_champion(stores[2]).version
    assert f"The bundled model is the champion now: version {version}." in first
    assert f"Version {version} is the champion already; nothing was changed." in second
    assert is_whole(stores, model)
