from datetime import UTC, datetime
from uuid import UUID

import pytest

from brain_core.errors import StorageError
from brain_core.gate import GateDecision
from brain_core.prediction_records import StoredPrediction
from serving.shelf import ImageShelf, copy_image

PREDICTION = StoredPrediction(
    UUID(int=1), datetime.now(UTC), "key", GateDecision(True, 1.0, 1.0, None), None, "1", timings_ms={}
)


class Flaky:
    """A bucket that can be switched off; counts the tries to write."""

    def __init__(self, bucket):
        self.bucket, self.is_away, self.tries = bucket, False, 0

    def __getattr__(self, name):
        if self.is_away:
            self.tries += 1
            raise StorageError("The bucket is away.")
        return getattr(self.bucket, name)


class Outbox:
    """One waiting image, or none."""

    def __init__(self, data=None):
        self.data = data

    def image(self, prediction_id):
        return self.data


@pytest.fixture
def flaky(bucket):
    return Flaky(bucket)


def test_a_bucket_that_failed_is_not_asked_again_until_it_was_seen_working(flaky, caplog):
    shelf = ImageShelf(flaky, Outbox())
    flaky.is_away = True
    assert [shelf.put("key", b"image") for _ in range(3)] == [False] * 3
    assert (flaky.tries, shelf.is_away, len(caplog.records)) == (1, True, 1)
    flaky.is_away = False
    assert shelf.put("key", b"image") is False
    shelf.deliver("key", b"image")
    assert shelf.put("other", b"image") is True
    assert sorted(flaky.keys("")) == ["key", "other"]


def test_a_delivery_that_fails_leaves_the_bucket_away(flaky):
    shelf = ImageShelf(flaky, Outbox())
    flaky.is_away = True
    shelf.put("key", b"image")
    with pytest.raises(StorageError):
        shelf.deliver("key", b"image")
    assert shelf.is_away


def test_an_image_is_read_from_wherever_it_is(flaky):
    flaky.write("key", b"in the bucket")
    assert ImageShelf(flaky, Outbox(b"waiting")).get(PREDICTION) == b"in the bucket"
    flaky.is_away = True
    assert ImageShelf(flaky, Outbox(b"waiting")).get(PREDICTION) == b"waiting"
    with pytest.raises(StorageError):
        ImageShelf(flaky, Outbox()).get(PREDICTION)


def test_what_cannot_be_discarded_is_left_for_the_sweep(flaky, caplog):
    flaky.is_away = True
    ImageShelf(flaky, Outbox()).discard("key")
    assert "sweep" in caplog.text


def test_a_copy_of_what_is_not_there_is_an_error(bucket):
    with pytest.raises(StorageError, match="'old'"):
        copy_image(bucket, "old", "new")
    bucket.write("old", b"image")
    copy_image(bucket, "old", "new")
    assert bucket.read("new") == b"image"
