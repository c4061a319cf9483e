import os
from uuid import UUID

import pytest

from brain_core import storage
from brain_core.errors import ObjectNotFound, StorageError
from brain_core.storage import LocalBucket, open_bucket, read_json, write_json

ID = UUID("01900000-0000-7000-8000-000000000001")


def test_what_was_written_is_read(bucket):
    bucket.write("a/b/c.bin", b"\0\1\2")
    assert bucket.read("a/b/c.bin") == b"\0\1\2"
    assert bucket.exists("a/b/c.bin")


def test_a_write_replaces(bucket):
    bucket.write("a", b"old")
    bucket.write("a", b"new")
    assert bucket.read("a") == b"new"


def test_a_missing_object_is_named(bucket):
    with pytest.raises(ObjectNotFound, match="'a/b'"):
        bucket.read("a/b")


def test_deleting_twice_is_no_error(bucket):
    bucket.write("a", b"")
    bucket.delete("a")
    bucket.delete("a")
    assert not bucket.exists("a")


def test_keys_are_sorted_and_start_with_the_prefix(bucket):
    for key in ("m/2/x", "m/10/x", "m/1/x", "n/1"):
        bucket.write(key, b"")
    assert list(bucket.keys("m/")) == ["m/1/x", "m/10/x", "m/2/x"]
    assert list(bucket.keys("m/1")) == ["m/1/x", "m/10/x"]
    assert list(bucket.keys("absent/")) == []


def test_a_failed_write_leaves_no_trace(bucket, monkeypatch):
    bucket.write("a", b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match="No space left"):
        bucket.write("a", b"new")
    assert bucket.read("a") == b"old"
    assert [path.name for path in bucket.root.iterdir()] == ["a"]


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/etc/passwd"])
def test_a_key_cannot_leave_the_bucket(bucket, key):
    with pytest.raises(StorageError, match="outside the bucket"):
        bucket.read(key)


def test_a_file_in_the_way_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        LocalBucket(tmp_path / "file").write("a", b"")


def test_json_goes_there_and_back(bucket):
    write_json(bucket, "x.json", {"b": 1, "a": [1.5, None]})
    assert read_json(bucket, "x.json") == {"a": [1.5, None], "b": 1}


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff"])
def test_damaged_json_is_an_error_of_ours(bucket, content):
    bucket.write("x.json", content)
    with pytest.raises(StorageError, match="is not"):
        read_json(bucket, "x.json")


def test_the_layout_is_the_originals():
    assert storage.image_key("glioma", ID) == f"InferenceLogs/ImageLogs/glioma/{ID}.jpg"
    assert storage.corrected_image_key("notumor", ID) == f"InferenceLogs/ImageLogsWithFeedback/notumor/{ID}.jpg"
    assert storage.refused_image_key(ID, "png") == f"InferenceLogs/ImageLogsForInvalidImages/{ID}.png"


def test_a_path_opens_a_folder(tmp_path):
    opened = open_bucket(str(tmp_path))
    assert isinstance(opened, LocalBucket)
    assert opened.root == tmp_path
