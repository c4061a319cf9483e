"""Publishing with a real MLflow: what is promoted, rolled back, chosen by hand and lost there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from brain_assets.ml.publishing import BUNDLE_FOLDER, Stores, VersionRefused, follow_alias, publish_champion
from brain_assets.ml.registry import CHALLENGER, CHAMPION, ModelRegistry
from brain_core.bundle import read_champion
from brain_core.errors import RegistryError
from brain_core.storage import model_key
from tests.fixtures_bundle import upload_bundle


@pytest.fixture
def stores(database_url, mlflow_url, bucket):
    engine = create_engine(database_url)
    yield Stores(engine, ModelRegistry(mlflow_url, timeout_s=30), bucket)
    engine.dispose()


@pytest.fixture
def versions(stores) -> tuple[str, str]:
    """Two registered versions with bundles in the bucket and among the artifacts of their runs."""
    registered = []
    for _ in range(2):
        with stores.registry.run("training", {}) as run:
            pass
        version = stores.registry.register(run, BUNDLE_FOLDER, {"source": "sample"})
        upload_bundle(stores.bucket, version)
        prefix = model_key(version, "")
        files = {key.removeprefix(prefix): stores.bucket.read(key) for key in stores.bucket.keys(prefix)}
        run.log_files(files, BUNDLE_FOLDER)
        registered.append(version)
    return registered[0], registered[1]


def tags_of(stores: Stores, version: str) -> dict[str, str]:
    (found,) = [one for one in stores.registry.versions() if one.version == version]
    return found.tags


def test_a_version_is_published_and_an_older_one_comes_back(stores, versions):
    older, newer = versions
    stores.registry.set_alias(CHALLENGER, newer)
    publish_champion(*stores, newer, "somebody")
    assert stores.registry.alias_version(CHAMPION) == newer == read_champion(stores.bucket).version
    assert stores.registry.alias_version(CHALLENGER) is None
    assert tags_of(stores, newer)["promoted_by"] == "somebody"
    publish_champion(*stores, older, "somebody else")
    assert stores.registry.alias_version(CHAMPION) == older == read_champion(stores.bucket).version


def test_the_pointer_follows_what_was_chosen_by_hand(stores, versions):
    older, newer = versions
    publish_champion(*stores, newer, "somebody")
    stores.registry._client.set_registered_model_alias("brain-tumor-classifier", "champion", older)
    pointer = follow_alias(stores)
    assert pointer is not None
    assert pointer.version == older
    assert follow_alias(stores) is None


def test_a_bundle_that_the_bucket_lost_comes_back_from_the_artifacts(stores, versions):
    _, newer = versions
    key = model_key(newer, "model.onnx")
    before = stores.bucket.read(key)
    for name in ("model.onnx", "manifest.json"):
        stores.bucket.delete(model_key(newer, name))
    publish_champion(*stores, newer, "somebody")
    assert stores.bucket.read(key) == before


def test_a_version_that_has_no_bundle_anywhere_and_an_unknown_one_are_refused(stores, versions):
    with stores.registry.run("baseline", {}) as run:
        pass
    bare = stores.registry.register(run, BUNDLE_FOLDER, {})
    with pytest.raises(VersionRefused, match="There is no bundle"):
        publish_champion(*stores, bare, "somebody")
    with pytest.raises(VersionRefused, match="MLflow has no version"):
        publish_champion(*stores, "999999", "somebody")


def test_files_and_tags_of_what_is_not_there(stores, versions):
    with stores.registry.run("empty", {}) as run:
        pass
    assert stores.registry.files(run.run_id, BUNDLE_FOLDER) == {}
    with pytest.raises(RegistryError):
        stores.registry.files("0" * 32, BUNDLE_FOLDER)
    with pytest.raises(RegistryError):
        stores.registry.set_version_tags("999999", {"a": "b"})


def brain_models(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """The command as a person gives it."""
    brain = str(Path(sys.executable).parent / "brain")
    environment = {**os.environ, "COLUMNS": "200", **settings}
    return subprocess.run([brain, "models", *arguments], env=environment, capture_output=True, text=True, timeout=120)


def test_the_commands_list_show_and_promote(stores, versions, mlflow_url, database_url, tmp_path):
    settings = {
        "BRAIN_HOME": str(tmp_path / "home"),
        "BRAIN_BUCKET__URI": str(stores.bucket.root),
        "BRAIN_MLFLOW__URI": mlflow_url,
        "BRAIN_DATABASE__URL": database_url,
    }
    older, newer = versions
    publish_champion(*stores, newer, "somebody")
    listed = brain_models("list", "--json", **settings)
    assert listed.returncode == 0, listed.stderr
    found = {row["version"]: row for row in json.loads(listed.stdout)}
    assert "champion" in found[newer]["aliases"]
    assert found[older]["source"] == "sample"
    promoted = brain_models("promote", older, **settings)
    assert promoted.returncode == 0, promoted.stderr
    assert f"Version {older} is the champion now instead of {newer}." in promoted.stdout
    assert read_champion(stores.bucket).version == older == stores.registry.alias_version(CHAMPION)
    assert "The published champion" in brain_models("show", older, **settings).stdout
    refused = brain_models("promote", "999999", **settings)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "MLflow has no version '999999'" in refused.stderr


def test_without_mlflow_the_command_says_so_soon(tmp_path):
    away = brain_models(
        "list", BRAIN_HOME=str(tmp_path), BRAIN_MLFLOW__URI="http://127.0.0.1:9", BRAIN_MLFLOW__TIMEOUT_S="2"
    )
    assert (away.returncode, away.stdout) == (1, "")
    assert "Is the server up" in away.stderr
    assert "Traceback" not in away.stderr
