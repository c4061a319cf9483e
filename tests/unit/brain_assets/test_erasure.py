"""Erased uploads leave what the pipeline keeps, on a real PostgreSQL."""

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text

from brain_assets import shards
from brain_assets.asset_store import AssetStore, ImageSet
from brain_assets.defs.erasure import erasure_sensor
from brain_assets.ml.erasure import RemainingImages, purge
from brain_assets.resources import BucketResource, DatabaseResource
from brain_core.database import open_engine
from brain_core.erasures import ErasureStore
from brain_core.predictions import PredictionStore
from brain_core.storage import corrected_image_key
from tests.integration.test_predictions import TOKEN, new_prediction


@pytest.fixture
def engine(database_url):
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def predictions(engine):
    store, made = PredictionStore(engine), [new_prediction() for _ in range(3)]
    for new in made:
        store.save(new)
    return [new.id for new in made]


@pytest.fixture
def assets(bucket, monkeypatch):
    monkeypatch.setattr(shards, "IMAGES_PER_SHARD", 4)
    return AssetStore(bucket)


def fill(assets, predictions):
    keys = ["data/Training/glioma/a.jpg", *(corrected_image_key("glioma", one) for one in predictions)] * 3
    pixels = np.arange(len(keys), dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 1), np.uint8)
    images = ImageSet(pixels, np.arange(len(keys)) % 4, np.arange(len(keys)), np.array(keys))
    for asset in ("training_set", "augmented_dataset"):
        assets.write(asset, images)
    ids = [str(one) for one in predictions]
    assets.write("feedback_set", pd.DataFrame({"prediction_id": ids, "label": "glioma"}))
    assets.write("recent_predictions", pd.DataFrame({"id": ids, "confidence": 0.5}))
    return images


@pytest.fixture
def look(monkeypatch, tmp_path, database_url, bucket):
    """One tick of the sensor."""
    monkeypatch.setenv("BRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BRAIN_DATABASE__URL", database_url)
    resources = {
        "bucket": BucketResource(uri=str(bucket.root), inference_uri=str(bucket.root)),
        "database": DatabaseResource(),
    }
    instance = dg.DagsterInstance.ephemeral()

    def tick() -> str:
        with dg.build_sensor_context(resources=resources, instance=instance) as context:
            return erasure_sensor(context).skip_message

    tick.instance = instance
    return tick


def test_images_and_rows_of_erased_uploads_are_gone_and_all_others_stay(assets, bucket, predictions):
    images = fill(assets, predictions)
    gone = predictions[1]
    assert purge(assets, {gone}) == {
        "training_set": 3,
        "augmented_dataset": 3,
        "feedback_set": 1,
        "recent_predictions": 1,
    }
    left = assets.read("augmented_dataset", ImageSet)
    is_left = np.array([str(gone) not in key for key in images.keys])
    np.testing.assert_array_equal(left.images[:], images.images[is_left])
    np.testing.assert_array_equal(left.labels, images.labels[is_left])
    assert left.keys.tolist() == images.keys[is_left].tolist()
    for key in bucket.keys("assets/"):
        assert str(gone).encode() not in bucket.read(key)
    assert len([key for key in bucket.keys("assets/augmented_dataset/") if key.endswith(".npy")]) == 3


def test_what_holds_nothing_of_it_is_not_touched(assets, bucket, predictions):
    fill(assets, predictions[:1])
    before = {key: bucket.read(key) for key in bucket.keys("assets/")}
    assert purge(assets, set(predictions[1:])) == {}
    assert {key: bucket.read(key) for key in bucket.keys("assets/")} == before


def test_without_any_value_there_is_nothing_to_do(assets, predictions):
    assert purge(assets, set(predictions)) == {}


def test_the_sensor_removes_them_once(look, assets, engine, predictions):
    fill(assets, predictions)
    assert look() == "Nothing was erased since the last look."
    PredictionStore(engine).erase(predictions[0], TOKEN)
    assert look().startswith("Copies of 1 erased uploads removed: 3 of training_set, 3 of augmented_dataset")
    assert look() == "Nothing was erased since the last look."
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM erasure WHERE purged_at IS NOT NULL")) == 1


def test_the_sensor_waits_for_runs_that_could_write_them_again(look, assets, engine, predictions):
    fill(assets, predictions)
    PredictionStore(engine).erase(predictions[0], TOKEN)
    look.instance.add_run(dg.DagsterRun(job_name="model_retraining", status=dg.DagsterRunStatus.STARTED))
    assert "when no run is under way" in look()
    assert ErasureStore(engine).unpurged() == [predictions[0]]


def test_a_damaged_value_is_tried_again(look, assets, bucket, engine, predictions):
    fill(assets, predictions)
    PredictionStore(engine).erase(predictions[0], TOKEN)
    bucket.write("assets/feedback_set/value.parquet", b"damaged")
    assert look().startswith("Tried again later: ")
    assert len(ErasureStore(engine).unpurged()) == 1


def test_remaining_images_are_indexed_like_an_array():
    pixels = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
    left = RemainingImages(pixels, np.array([0, 2, 4]))
    assert (len(left), left.shape, left.nbytes) == (3, (3, 1, 1, 1), 3)
    assert left[1:].ravel().tolist() == [2, 4]
    assert left[[2, 0]].ravel().tolist() == [4, 0]
    assert RemainingImages(pixels, np.array([], np.int64)).shape == (0, 1, 1, 1)
