"""What every bucket does: a test module subclasses `BucketContract` and has a fixture `bucket`."""

import pytest

from brain_core.errors import ObjectNotFound, StorageError
from brain_core.storage import read_json, write_json


class BucketContract:
    def test_what_was_written_is_read(self, bucket):
        bucket.write("a/b/c.bin", b"\0\1\2")
        assert bucket.read("a/b/c.bin") == b"\0\1\2"
        assert bucket.exists("a/b/c.bin")

    def test_nothing_is_something_that_can_be_kept(self, bucket):
        bucket.write("empty", b"")
        assert bucket.exists("empty")
        assert bucket.read("empty") == b""

    def test_a_key_may_have_any_letters(self, bucket):
        bucket.write("Tumör/ein Bild #1%20?.jpg", b"x")
        assert bucket.read("Tumör/ein Bild #1%20?.jpg") == b"x"
        assert list(bucket.keys("Tumör/")) == ["Tumör/ein Bild #1%20?.jpg"]

    def test_a_write_replaces(self, bucket):
        bucket.write("a", b"old")
        bucket.write("a", b"new")
        assert bucket.read("a") == b"new"

    def test_a_large_object_comes_back_whole(self, bucket):
        data = bytes(range(256)) * 40_000
        bucket.write("large", data)
        assert bucket.read("large") == data

    def test_a_missing_object_is_named(self, bucket):
        assert not bucket.exists("a/b")
        with pytest.raises(ObjectNotFound, match="'a/b'"):
            bucket.read("a/b")

    def test_what_is_finished_stays_when_unfinished_writes_are_removed(self, bucket):
        bucket.write("a/b", b"x")
        bucket.drop_unfinished(0)
        assert bucket.read("a/b") == b"x"

    def test_deleting_twice_is_no_error(self, bucket):
        bucket.write("a", b"")
        bucket.delete("a")
        bucket.delete("a")
        assert not bucket.exists("a")

    def test_keys_are_sorted_and_start_with_the_prefix(self, bucket):
        for key in ("m/2/x", "m/10/x", "m/1/x", "n/1"):
            bucket.write(key, b"")
        assert list(bucket.keys("m/")) == ["m/1/x", "m/10/x", "m/2/x"]
        assert list(bucket.keys("m/1")) == ["m/1/x", "m/10/x"]
        assert list(bucket.keys("")) == ["m/1/x", "m/10/x", "m/2/x", "n/1"]
        assert list(bucket.keys("absent/")) == []

    @pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/etc/passwd"])
    def test_a_key_cannot_leave_the_bucket(self, bucket, key):
        for use in (bucket.read, bucket.exists, bucket.delete, lambda key: bucket.write(key, b"")):
            with pytest.raises(StorageError, match="outside the bucket"):
                use(key)

    def test_json_goes_there_and_back(self, bucket):
        write_json(bucket, "x.json", {"b": 1, "a": [1.5, None]})
        assert read_json(bucket, "x.json") == {"a": [1.5, None], "b": 1}

    @pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff"])
    def test_damaged_json_is_an_error_of_ours(self, bucket, content):
        bucket.write("x.json", content)
        with pytest.raises(StorageError, match="is not"):
            read_json(bucket, "x.json")
