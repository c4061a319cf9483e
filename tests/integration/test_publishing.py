"""Publishing under the lock of a real PostgreSQL, with a crash between any two steps."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from brain_assets.ml.publishing import (
    ALIAS_FOLLOWED,
    ChampionChanged,
    Stores,
    VersionRefused,
    follow_alias,
    publish_champion,
    published_version,
    replace_champion,
    upload_bundle,
)
from brain_assets.ml.registry import CHALLENGER, CHAMPION
from brain_core.bundle import load_manifest, read_champion
from brain_core.errors import BundleError, DatabaseError, ModelUnavailable, RegistryError, StorageError
from brain_core.storage import CHAMPION_KEY, LocalBucket, model_key
from tests.fixtures_bundle import upload_bundle as upload_tiny_bundle
from tests.fixtures_registry import MemoryRegistry


class WatchedBucket(LocalBucket):
    """Remembers the order of the writes, and can fail before one."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.written: list[str] = []
        self.fails_at = ""

    def write(self, key: str, data: bytes) -> None:
        if key == self.fails_at:
            raise StorageError("The bucket went away.")
        self.written.append(key)
        super().write(key, data)


@pytest.fixture
def engine(database_url):
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def stores(engine, tmp_path) -> Stores:
    """Three registered versions with whole bundles; the first is the champion."""
    bucket, registry = WatchedBucket(tmp_path / "bucket"), MemoryRegistry("1", "2", "3")
    for version in registry.tags:
        upload_tiny_bundle(bucket, version)
    publish_champion(engine, registry, bucket, "1", "somebody")
    return Stores(engine, registry, bucket)


def in_step(stores: Stores) -> str:
    """The one version that alias and pointer name."""
    pointer = read_champion(stores.bucket)
    assert stores.registry.aliases[CHAMPION] == pointer.version
    return pointer.version


def files_of(bucket: LocalBucket, version: str) -> dict[str, bytes]:
    prefix = model_key(version, "")
    return {key.removeprefix(prefix): bucket.read(key) for key in bucket.keys(prefix)}


def test_the_manifest_is_written_last(tmp_path):
    bucket = WatchedBucket(tmp_path)
    upload_bundle(bucket, "1", {"manifest.json": b"{}", "model.onnx": b"x", "z.npz": b"y"})
    assert bucket.written[-1] == model_key("1", "manifest.json")


def test_the_same_bundle_may_be_uploaded_again_but_another_never_takes_its_place(stores):
    files = files_of(stores.bucket, "1")
    upload_bundle(stores.bucket, "1", files)
    with pytest.raises(BundleError, match="another model's"):
        upload_bundle(stores.bucket, "1", {**files, "manifest.json": b"{}"})
    assert files_of(stores.bucket, "1") == files


def test_alias_pointer_and_tags_name_the_version(stores):
    pointer = publish_champion(*stores, "2", "somebody")
    assert read_champion(stores.bucket) == pointer
    assert in_step(stores) == "2"
    assert pointer.promoted_by == stores.registry.tags["2"]["promoted_by"] == "somebody"


def test_a_champion_is_no_challenger(stores):
    stores.registry.set_alias(CHALLENGER, "2")
    publish_champion(*stores, "2", "somebody")
    assert stores.registry.aliases == {CHAMPION: "2"}


def test_an_older_version_comes_back_the_same_way(stores):
    publish_champion(*stores, "2", "somebody")
    publish_champion(*stores, "1", "somebody else")
    assert in_step(stores) == "1"
    assert read_champion(stores.bucket).promoted_by == "somebody else"


def test_publishing_the_champion_again_changes_nothing(stores):
    pointer = read_champion(stores.bucket)
    stores.bucket.written.clear()
    assert publish_champion(*stores, "1", "another") == pointer
    assert stores.bucket.written == []


def test_without_mlflow_nothing_changes(stores):
    stores.registry.is_away = True
    with pytest.raises(RegistryError):
        publish_champion(*stores, "2", "somebody")
    assert published_version(stores.bucket) == "1"


def test_without_postgres_nothing_changes(stores, tmp_path):
    away = create_engine(f"postgresql+psycopg2://postgres@/brain?host={tmp_path}")
    with pytest.raises(DatabaseError):
        publish_champion(away, stores.registry, stores.bucket, "2", "somebody")
    assert in_step(stores) == "1"


def test_an_unknown_number_is_refused(stores):
    upload_tiny_bundle(stores.bucket, "9")
    with pytest.raises(VersionRefused, match="MLflow has no version '9'"):
        publish_champion(*stores, "9", "somebody")
    assert in_step(stores) == "1"


def test_a_version_without_a_bundle_is_refused(stores):
    stores.bucket.delete(model_key("2", "manifest.json"))
    with pytest.raises(VersionRefused, match=r"Version 2 cannot be the champion\. There is no bundle '2'"):
        publish_champion(*stores, "2", "somebody")
    assert in_step(stores) == "1"


@pytest.mark.parametrize("name", ["model.onnx", "gate.npz"])
def test_a_version_with_an_altered_or_missing_file_is_refused(stores, name):
    stores.bucket.write(model_key("2", name), b"altered")
    stores.bucket.delete(model_key("3", name))
    for version, reason in (("2", "sha256 differs"), ("3", "lacks")):
        with pytest.raises(VersionRefused, match=reason):
            publish_champion(*stores, version, "somebody")
    assert in_step(stores) == "1"


def test_a_copy_of_another_versions_bundle_is_refused(stores):
    for name, data in files_of(stores.bucket, "1").items():
        stores.bucket.write(model_key("2", name), data)
    with pytest.raises(VersionRefused, match="says that it is version 1"):
        publish_champion(*stores, "2", "somebody")


def test_a_baseline_is_refused(stores):
    manifest = load_manifest(stores.bucket, "2").model_copy(update={"architecture": "original_cnn"})
    stores.bucket.write(model_key("2", "manifest.json"), manifest.model_dump_json().encode())
    with pytest.raises(VersionRefused, match="baseline"):
        publish_champion(*stores, "2", "somebody")
    assert in_step(stores) == "1"


def test_a_bundle_that_the_bucket_lost_comes_back_from_mlflow(stores):
    stores.registry.kept["2"] = files_of(stores.bucket, "2")
    stores.bucket.delete(model_key("2", "manifest.json"))
    stores.bucket.write(model_key("2", "model.onnx"), b"cut off")
    publish_champion(*stores, "2", "somebody")
    assert in_step(stores) == "2"
    assert files_of(stores.bucket, "2") == stores.registry.kept["2"]


def test_a_bundle_that_this_code_cannot_load_is_refused_wherever_it_is_kept(stores):
    upload_tiny_bundle(stores.bucket, "2", gate=b"of another version")
    stores.registry.kept["2"] = files_of(stores.bucket, "2")
    stores.bucket.written.clear()
    with pytest.raises(VersionRefused, match=r"Version 2 cannot be the champion\. gate.npz cannot be read"):
        publish_champion(*stores, "2", "somebody")
    assert in_step(stores) == "1"
    assert stores.bucket.written == []


@pytest.mark.parametrize("fault", ["model.onnx", "manifest.json"])
def test_what_mlflow_kept_is_not_used_when_it_is_damaged_or_another_versions(stores, fault):
    kept = files_of(stores.bucket, "2")
    stores.registry.kept["2"] = {**kept, "model.onnx": b"x"} if fault == "model.onnx" else files_of(stores.bucket, "1")
    stores.bucket.delete(model_key("2", "manifest.json"))
    with pytest.raises(VersionRefused):
        publish_champion(*stores, "2", "somebody")


def crash_at(stores: Stores, step: str) -> None:
    """Publish version 2, which is the challenger and lies in MLflow only, until `step` fails; then all works again."""
    stores.registry.kept["2"] = files_of(stores.bucket, "2")
    stores.bucket.delete(model_key("2", "manifest.json"))
    stores.registry.set_alias(CHALLENGER, "2")

    def fail(name: str) -> None:
        if name == step:
            raise RegistryError("MLflow went away.")

    stores.registry.before = fail
    stores.bucket.fails_at = step
    with pytest.raises((RegistryError, StorageError)):
        replace_champion(stores, "2", "1", "somebody")
    stores.registry.before = lambda _: None
    stores.bucket.fails_at = ""


STEPS = (
    model_key("2", "model.onnx"),
    model_key("2", "manifest.json"),
    "set_alias",
    "delete_alias",
    "set_version_tags",
    CHAMPION_KEY,
)


@pytest.mark.parametrize("step", STEPS)
def test_after_a_crash_in_any_step_the_former_champion_answers_and_a_retry_finishes(stores, step):
    crash_at(stores, step)
    assert published_version(stores.bucket) == "1"
    replace_champion(stores, "2", "1", "somebody")
    assert in_step(stores) == "2"
    assert stores.registry.aliases == {CHAMPION: "2"}
    assert stores.registry.tags["2"]["promoted_by"] == "somebody"


@pytest.mark.parametrize("step", STEPS)
def test_after_a_crash_in_any_step_following_the_alias_brings_both_in_step(stores, step):
    crash_at(stores, step)
    is_wanted = stores.registry.aliases[CHAMPION] == "2"
    assert (follow_alias(stores) is not None) == is_wanted
    assert in_step(stores) == ("2" if is_wanted else "1")
    assert follow_alias(stores) is None


def test_a_decision_against_a_champion_that_was_replaced_meanwhile_is_not_published(stores):
    publish_champion(*stores, "3", "somebody quicker")
    with pytest.raises(ChampionChanged, match="Version 3 became the champion after version 2 was compared"):
        replace_champion(stores, "2", "1", "somebody")
    assert in_step(stores) == "3"


def test_a_decision_does_not_publish_over_what_somebody_chose_in_mlflow_meanwhile(stores):
    stores.registry.set_alias(CHAMPION, "3")
    with pytest.raises(ChampionChanged, match="Somebody chose version 3 in MLflow"):
        replace_champion(stores, "2", "1", "somebody")
    assert stores.registry.aliases[CHAMPION] == "3"


def test_a_choice_that_cannot_be_published_holds_no_decision_up(stores):
    stores.bucket.delete(model_key("3", "manifest.json"))
    stores.registry.set_alias(CHAMPION, "3")
    replace_champion(stores, "2", "1", "somebody")
    assert in_step(stores) == "2"


def test_the_first_champion_needs_none_before_it(stores):
    stores.bucket.delete(CHAMPION_KEY)
    del stores.registry.aliases[CHAMPION]
    replace_champion(stores, "2", None, "somebody")
    assert in_step(stores) == "2"
    with pytest.raises(ChampionChanged):
        replace_champion(stores, "3", None, "somebody")


def test_the_pointer_follows_the_alias_once(stores):
    assert follow_alias(stores) is None
    stores.registry.set_alias(CHAMPION, "2")
    pointer = follow_alias(stores)
    assert pointer is not None
    assert (in_step(stores), pointer.promoted_by) == ("2", ALIAS_FOLLOWED)
    assert follow_alias(stores) is None


def test_an_alias_that_names_nothing_leaves_the_champion(stores):
    del stores.registry.aliases[CHAMPION]
    assert follow_alias(stores) is None
    assert published_version(stores.bucket) == "1"


def test_a_pointer_that_is_damaged_is_put_right(stores):
    stores.bucket.write(CHAMPION_KEY, b"{}")
    assert published_version(stores.bucket) is None
    assert follow_alias(stores) is not None
    assert in_step(stores) == "1"


def test_without_a_champion_there_is_no_published_version(bucket):
    assert published_version(bucket) is None
    with pytest.raises(ModelUnavailable):
        read_champion(bucket)


def test_many_promotions_at_once_leave_alias_and_pointer_in_step(stores):
    threads = [
        threading.Thread(target=publish_champion, args=(*stores, version, "x")) for version in ("1", "2", "3") * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert in_step(stores) in {"1", "2", "3"}


def test_of_two_decisions_at_once_against_the_same_champion_one_is_published(stores):
    faults: list[Exception] = []

    def promote(version: str) -> None:
        try:
            replace_champion(stores, version, "1", "x")
        except ChampionChanged as exc:
            faults.append(exc)

    threads = [threading.Thread(target=promote, args=(version,)) for version in ("2", "3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(faults) == 1
    assert in_step(stores) in {"2", "3"}
