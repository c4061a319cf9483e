import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

from brain_assets.asset_store import AssetStore, ImageSet, version_of
from brain_core.errors import ObjectNotFound, StorageError
from brain_core.storage import LocalBucket


class Record(BaseModel):
    """A value for the tests."""

    name: str
    share: float


@pytest.fixture
def store(bucket: LocalBucket) -> AssetStore:
    return AssetStore(bucket)


def test_a_table_comes_back_as_it_was(store):
    table = pd.DataFrame(
        {"key": ["a", "b"], "n": [1, 2], "v": [[0.5, 1.5], None], "t": [b"\0", b"\1"], "ok": [True, False]}
    )
    store.write("raw_images", table)
    pd.testing.assert_frame_equal(store.read("raw_images", pd.DataFrame), table)


def test_an_empty_table_keeps_its_columns(store):
    store.write("feedback_set", pd.DataFrame(columns=["key", "label"]))
    assert list(store.read("feedback_set", pd.DataFrame).columns) == ["key", "label"]


def test_images_come_back_as_they_were(store):
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 1)
    value = ImageSet(images, np.array([0, 3]), np.array([5, -1]), np.array(["a/ä.jpg", "b"]))
    store.write("augmented_dataset", value)
    again = store.read("augmented_dataset", ImageSet)
    assert len(again) == 2
    for name in ("images", "labels", "groups", "keys"):
        np.testing.assert_array_equal(getattr(again, name), getattr(value, name))


def test_a_record_comes_back_as_it_was(store):
    store.write("trained_model", Record(name="x", share=0.25))
    assert store.read("trained_model", Record) == Record(name="x", share=0.25)


def test_an_asset_that_was_never_made_is_not_found(store):
    with pytest.raises(ObjectNotFound):
        store.read("histograms", pd.DataFrame)


@pytest.mark.parametrize(("kind", "file"), [(pd.DataFrame, "parquet"), (ImageSet, "npz"), (Record, "json")])
def test_a_damaged_value_says_what_to_materialise_again(store, bucket, kind, file):
    bucket.write(f"assets/x/value.{file}", b"damaged")
    with pytest.raises(StorageError, match="Materialise x again"):
        store.read("x", kind)


def test_other_types_are_refused(store):
    with pytest.raises(TypeError, match="cannot keep values of type set"):
        store.write("x", {1})


def test_the_version_follows_the_content():
    table = pd.DataFrame({"key": ["a", "b"]})
    assert version_of(table) == version_of(table.copy())
    assert version_of(table) != version_of(table.iloc[::-1])
