import os
from uuid import UUID

import pytest

from brain_core import storage
from brain_core.errors import StorageError
from brain_core.storage import LocalBucket, open_bucket
from tests.bucket_contract import BucketContract

ID = UUID("01900000-0000-7000-8000-000000000001")


class TestLocalBucket(BucketContract):
    pass


def test_a_failed_write_leaves_no_trace(bucket, monkeypatch):
    bucket.write("a", b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match="No space left"):
        bucket.write("a", b"new")
    assert bucket.read("a") == b"old"
    assert [path.name for path in bucket.root.iterdir()] == ["a"]


def test_bytes_are_flushed_before_their_name_and_both_before_the_write_is_done(tmp_path, monkeypatch):
    steps = []

    def noted(name, function, of):
        def call(*arguments):
            steps.append((name, of(*arguments)))
            return function(*arguments)

        return call

    def flushed(descriptor):
        return os.readlink(f"/proc/self/fd/{descriptor}").removeprefix(str(tmp_path)) or "/"

    monkeypatch.setattr(os, "fsync", noted("fsync", os.fsync, flushed))
    monkeypatch.setattr(os, "replace", noted("replace", os.replace, lambda _, path: str(path.relative_to(tmp_path))))
    LocalBucket(tmp_path).write("a/b/c", b"x")
    assert [name for name, _ in steps] == ["fsync", "fsync", "fsync", "replace", "fsync"]
    new_folders, (file, moved, folder) = steps[:2], steps[2:]
    assert new_folders == [("fsync", "/a"), ("fsync", "/")]
    assert file[1].startswith("/a/b/.tmp-")
    assert (moved[1], folder[1]) == ("a/b/c", "/a/b")


def test_a_file_in_the_way_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        LocalBucket(tmp_path / "file").write("a", b"")


def test_the_layout_is_the_originals():
    assert storage.image_key("glioma", ID) == f"InferenceLogs/ImageLogs/glioma/{ID}.jpg"
    assert storage.corrected_image_key("notumor", ID) == f"InferenceLogs/ImageLogsWithFeedback/notumor/{ID}.jpg"
    assert storage.refused_image_key(ID, "png") == f"InferenceLogs/ImageLogsForInvalidImages/{ID}.png"


def test_a_path_opens_a_folder(tmp_path):
    opened = open_bucket(str(tmp_path))
    assert isinstance(opened, LocalBucket)
    assert opened.root == tmp_path


def test_a_bucket_without_credentials_is_an_error_of_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))
    with pytest.raises(StorageError, match=r"no Google Cloud credentials: .*absent\.json"):
        open_bucket("gs://name/prefix")


def test_only_old_unfinished_writes_are_removed(tmp_path):
    bucket = LocalBucket(tmp_path)
    old, young = tmp_path / "a" / ".tmp-old", tmp_path / ".tmp-young"
    old.parent.mkdir()
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    bucket.drop_unfinished(3600)
    assert (old.exists(), young.exists()) == (False, True)
    bucket.drop_unfinished(0)
    assert not young.exists()
    LocalBucket(tmp_path / "absent").drop_unfinished(0)
