import io

import pandas as pd

from brain_assets.asset_store import AssetStore
from brain_assets.ml.earlier_splits import earlier_parts
from brain_assets.ml.splits import assign_splits
from brain_core.storage import write_json


def test_nothing_is_known_before_the_first_split(bucket):
    assert earlier_parts(bucket) is None


def test_the_last_split_is_known_by_key_and_by_content(bucket):
    last = {"key": ["a"], "pixel_sha256": ["ff"], "part": ["test"]}
    AssetStore(bucket).write("dataset_splits", pd.DataFrame(last).assign(label="glioma"))
    earlier = earlier_parts(bucket)
    assert earlier is not None
    assert earlier.to_dict("list") == last


def test_a_split_of_an_earlier_version_is_known_by_key(bucket):
    AssetStore(bucket).write("dataset_splits", pd.DataFrame({"key": ["a"], "part": ["test"]}))
    earlier = earlier_parts(bucket)
    assert earlier is not None
    assert earlier.to_dict("list") == {"key": ["a"], "part": ["test"]}


def test_a_renamed_test_image_stays_one(bucket):
    last = {"key": ["old"], "pixel_sha256": ["ff"], "part": ["test"]}
    AssetStore(bucket).write("dataset_splits", pd.DataFrame(last))
    keys = [f"{number:02d}" for number in range(20)]
    images = pd.DataFrame({"key": keys, "label": "glioma", "pixel_sha256": ["ff", *keys[1:]]})
    splits = assign_splits(pd.DataFrame({"key": keys, "group": range(20)}), images, earlier=earlier_parts(bucket))
    assert splits.set_index("key")["part"]["00"] == "test"


def test_the_champions_split_is_known_by_content(bucket):
    AssetStore(bucket).write("dataset_splits", pd.DataFrame({"key": ["a"], "part": ["train"]}))
    buffer = io.BytesIO()
    pd.DataFrame({"pixel_sha256": ["ff"], "part": ["test"], "group": [1]}).to_parquet(buffer)
    bucket.write("models/3/split.parquet", buffer.getvalue())
    pointer = {"version": "3", "sha256": "0" * 64, "promoted_at": "2026-01-01T00:00:00Z", "promoted_by": "test"}
    write_json(bucket, "models/champion.json", pointer)
    earlier = earlier_parts(bucket)
    assert earlier is not None
    assert earlier["part"].tolist() == ["train", "test"]
    assert earlier["pixel_sha256"].dropna().tolist() == ["ff"]
    assert earlier["key"].dropna().tolist() == ["a"]
