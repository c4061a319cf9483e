import threading

import pytest
from sqlalchemy import create_engine

from brain_assets.ml.publishing import publish_champion, upload_bundle
from brain_core.bundle import read_champion
from brain_core.errors import DatabaseError, ModelUnavailable, ObjectNotFound, RegistryError
from brain_core.storage import LocalBucket, model_key


class FakeRegistry:
    """Remembers the aliases; can be away."""

    def __init__(self, is_away: bool = False) -> None:
        self.aliases: dict[str, str] = {}
        self._is_away = is_away

    def set_alias(self, alias: str, version: str) -> None:
        if self._is_away:
            raise RegistryError("away")
        self.aliases[alias] = version


class RecordingBucket(LocalBucket):
    """Remembers the order of the writes."""

    def __init__(self, root) -> None:
        super().__init__(root)
        self.written: list[str] = []

    def write(self, key: str, data: bytes) -> None:
        self.written.append(key)
        super().write(key, data)


@pytest.fixture
def engine(database_url):
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


def test_the_manifest_is_written_last(tmp_path):
    bucket = RecordingBucket(tmp_path)
    upload_bundle(bucket, "1", {"manifest.json": b"{}", "model.onnx": b"x", "z.npz": b"y"})
    assert bucket.written[-1] == model_key("1", "manifest.json")


def test_alias_and_pointer_name_the_version(engine, bucket):
    registry = FakeRegistry()
    upload_bundle(bucket, "4", {"manifest.json": b"{}"})
    pointer = publish_champion(engine, registry, bucket, "4", "somebody")
    assert read_champion(bucket) == pointer
    assert registry.aliases == {"champion": "4"}
    assert pointer.promoted_by == "somebody"


def test_without_mlflow_nothing_changes(engine, bucket):
    upload_bundle(bucket, "4", {"manifest.json": b"{}"})
    with pytest.raises(RegistryError):
        publish_champion(engine, FakeRegistry(is_away=True), bucket, "4", "somebody")
    with pytest.raises(ModelUnavailable):
        read_champion(bucket)


def test_a_version_without_a_bundle_is_not_published(engine, bucket):
    registry = FakeRegistry()
    with pytest.raises(ObjectNotFound):
        publish_champion(engine, registry, bucket, "9", "somebody")
    assert registry.aliases == {}


def test_without_postgres_nothing_changes(bucket, tmp_path):
    registry = FakeRegistry()
    away = create_engine(f"postgresql+psycopg2://postgres@/brain?host={tmp_path}")
    with pytest.raises(DatabaseError):
        publish_champion(away, registry, bucket, "4", "somebody")
    assert registry.aliases == {}


def test_two_promotions_at_once_leave_alias_and_pointer_in_step(engine, bucket):
    registry = FakeRegistry()
    versions = [str(number) for number in range(8)]
    for version in versions:
        upload_bundle(bucket, version, {"manifest.json": version.encode()})
    threads = [
        threading.Thread(target=publish_champion, args=(engine, registry, bucket, version, "x")) for version in versions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_champion(bucket).version == registry.aliases["champion"]
