import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

from brain_assets.asset_store import AssetStore, ImageSet, version_of
from brain_assets.shards import write_images
from brain_core.errors import ObjectNotFound, StorageError
from brain_core.gate import Gate
from brain_core.storage import LocalBucket
from tests.fixtures_bundle import tiny_gate


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


def image_set(**columns) -> ImageSet:
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 1)
    return ImageSet(images, np.array([0, 3]), np.array([5, -1]), np.array(["a/ä.jpg", "b"]), **columns)


COLUMNS = ("labels", "groups", "keys", "boxes", "recipes")


def test_images_come_back_as_they_were(store):
    boxes = np.array([[0.1, 0.2, 0.5, 1.0], [np.nan] * 4], np.float32)
    value = image_set(boxes=boxes, recipes=np.array(["", "ab"]))
    assert store.write("augmented_dataset", value) == "assets/augmented_dataset/value.images.json"
    again = store.read("augmented_dataset", ImageSet)
    assert len(again) == 2
    np.testing.assert_array_equal(again.images[:], value.images)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(again, name), getattr(value, name))
        assert getattr(again, name).dtype.kind == getattr(value, name).dtype.kind
    assert again.boxes.dtype == np.float32


def test_no_images_come_back_as_none(store):
    nothing = np.empty(0, np.int64)
    store.write("x", ImageSet(np.empty((0, 4, 4, 1), np.uint8), nothing, nothing, np.empty(0, np.str_)))
    again = store.read("x", ImageSet)
    assert again.images.shape == (0, 4, 4, 1)
    assert [len(getattr(again, name)) for name in COLUMNS] == [0] * 5


def test_boxes_and_recipes_are_unknown_unless_they_are_given():
    images = image_set()
    assert np.isnan(images.boxes).all()
    assert images.boxes.shape == (2, 4)
    assert images.recipes.tolist() == ["", ""]


def test_columns_of_another_length_are_refused():
    with pytest.raises(ValueError, match="'boxes': 3"):
        image_set(boxes=np.zeros((3, 4), np.float32))


def test_images_whose_table_lacks_a_column_are_damaged(store, bucket):
    write_images(bucket, "x", image_set().images, pd.DataFrame({"label": [1, 2]}))
    with pytest.raises(StorageError, match=r"table of x is damaged.*Materialise x again"):
        store.read("x", ImageSet)


def test_images_of_a_far_bucket_are_kept_in_the_home_folder(bucket, tmp_path, monkeypatch):
    class Far:
        write, read, keys, delete = bucket.write, bucket.read, bucket.keys, bucket.delete

    monkeypatch.setenv("BRAIN_HOME", str(tmp_path / "home"))
    AssetStore(Far()).write("x", image_set())
    assert AssetStore(Far()).read("x", ImageSet).keys.tolist() == ["a/ä.jpg", "b"]
    assert len(list((tmp_path / "home/cache/assets/x/images").iterdir())) == 2


def test_a_former_value_is_the_one_that_is_there_and_whole(store, bucket):
    assert store.read_former("x", ImageSet) is None
    key = store.write("x", image_set())
    assert len(store.read_former("x", ImageSet)) == 2
    bucket.write(key, b"damaged")
    assert store.read_former("x", ImageSet) is None


def test_a_record_comes_back_as_it_was(store):
    store.write("trained_model", Record(name="x", share=0.25))
    assert store.read("trained_model", Record) == Record(name="x", share=0.25)


def test_the_upload_gate_comes_back_as_it_was(store):
    gate = tiny_gate()
    assert store.write("upload_gate", gate) == "assets/upload_gate/value.npz"
    assert store.read("upload_gate", Gate).to_bytes() == gate.to_bytes()


def test_an_asset_that_was_never_made_is_not_found(store):
    with pytest.raises(ObjectNotFound):
        store.read("histograms", pd.DataFrame)


@pytest.mark.parametrize(
    ("kind", "file"),
    [(pd.DataFrame, "parquet"), (ImageSet, "images.json"), (Record, "json"), (Gate, "npz")],
)
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
