"""`GcsBucket` against a Google Cloud Storage emulator."""

import socket
import threading

import pytest

from brain_core import storage
from brain_core.errors import ObjectNotFound, StorageError
from brain_core.storage import GcsBucket, open_bucket
from tests.bucket_contract import BucketContract
from tests.fixtures_gcs import answering_server, gcs_client_of, running_emulator

USES = {
    "read": lambda bucket: bucket.read("a"),
    "write": lambda bucket: bucket.write("a", b"1"),
    "delete": lambda bucket: bucket.delete("a"),
    "exists": lambda bucket: bucket.exists("a"),
    "keys": lambda bucket: bucket.keys(""),
    "marks": lambda bucket: bucket.marks(""),
    "folders": lambda bucket: bucket.folders(""),
}
every_use = pytest.mark.parametrize("use", USES.values(), ids=USES)


@pytest.fixture
def bucket(gcs_bucket, gcs_client) -> GcsBucket:
    return GcsBucket(gcs_bucket.name, "deep/prefix", gcs_client)


@pytest.fixture
def _little_patience(monkeypatch):
    monkeypatch.setattr(storage, "GCS_RETRY_S", 0.5)
    monkeypatch.setattr(storage, "GCS_TIMEOUTS_S", (0.3, 0.3))


class TestGcsBucket(BucketContract):
    pass


class TestGcsBucketWithoutPrefix(BucketContract):
    @pytest.fixture
    def bucket(self, gcs_bucket, gcs_client) -> GcsBucket:
        return GcsBucket(gcs_bucket.name, client=gcs_client)


def test_objects_lie_under_the_prefix(bucket, gcs_bucket):
    bucket.write("a", b"1")
    gcs_bucket.blob("elsewhere").upload_from_string(b"")
    assert gcs_bucket.blob("deep/prefix/a").download_as_bytes() == b"1"
    assert list(bucket.keys("")) == ["a"]


def test_an_address_opens_the_bucket_in_the_environment(gcs_bucket, gcs_url, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_url)
    open_bucket(f"gs://{gcs_bucket.name}/some/where").write("a", b"1")
    assert gcs_bucket.blob("some/where/a").download_as_bytes() == b"1"


def test_a_mark_changes_with_the_content_alone(bucket):
    bucket.write("a", b"1")
    bucket.write("b", b"1")
    before = bucket.marks("")
    bucket.write("a", b"1")
    bucket.write("b", b"2")
    after = bucket.marks("")
    assert set(before) == set(after) == {"a", "b"}
    assert before["a"] == after["a"]
    assert before["b"] != after["b"]


def test_folders_are_the_next_part_of_the_keys(bucket):
    for key in ("loose", "b/x", "a/x", "a/y/z", "ab/c/x"):
        bucket.write(key, b"")
    assert bucket.folders("") == ["a", "ab", "b"]
    assert bucket.folders("a/") == ["y"]
    assert bucket.folders("absent/") == []


@every_use
def test_a_bucket_that_is_not_there_is_named(gcs_client, use):
    with pytest.raises(StorageError, match="no bucket 'absent-bucket'") as failure:
        use(GcsBucket("absent-bucket", client=gcs_client))
    assert not isinstance(failure.value, ObjectNotFound)


@every_use
@pytest.mark.usefixtures("_little_patience")
def test_a_server_that_went_away_is_an_error_of_ours(use):
    with running_emulator() as url:
        client = gcs_client_of(url)
        client.create_bucket("gone")
        bucket = GcsBucket("gone", client=client)
        bucket.write("a", b"0")
    with pytest.raises(StorageError, match="gone is away"):
        use(bucket)


@every_use
@pytest.mark.usefixtures("_little_patience")
def test_a_server_that_is_silent_is_an_error_of_ours(use):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = gcs_client_of(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(StorageError, match="silent is away"):
            use(GcsBucket("silent", client=client))


@pytest.mark.usefixtures("_little_patience")
def test_nothing_is_asked_of_a_server_in_the_background():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = gcs_client_of(f"http://127.0.0.1:{silent.getsockname()[1]}")
        before = set(threading.enumerate())
        with pytest.raises(StorageError, match="silent is away"):
            GcsBucket("silent", client=client).write("a", b"0")
        assert set(threading.enumerate()) <= before


@every_use
def test_a_refusal_names_the_role_that_is_missing(use):
    denied = "brain@x does not have storage.objects access"
    with (
        answering_server(403, {"error": {"code": 403, "message": denied}}) as url,
        pytest.raises(StorageError, match=f"locked refuses access: .*{denied}.*Storage Object User"),
    ):
        use(GcsBucket("locked", client=gcs_client_of(url)))
