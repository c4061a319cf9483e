"""The challenger's answers beside the champion's, on a real PostgreSQL, real images and a tiny ONNX model."""

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from brain_assets.ml.shadow import answer_in_shadow
from brain_core.errors import BundleError
from brain_core.imaging import encode_jpeg
from brain_core.predictions import PredictionStore
from brain_core.shadow import Agreement, ShadowStore
from brain_core.storage import image_key
from tests.fixtures_bundle import CLASS_BRIGHTNESS, drawn_slice
from tests.fixtures_promotion import upload_model
from tests.integration.test_corrections import save

CHALLENGER = "2"


@pytest.fixture
def engine(database_url):
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def predictions(engine):
    return PredictionStore(engine)


@pytest.fixture
def store(engine, bucket):
    upload_model(bucket, CHALLENGER)
    return ShadowStore(engine)


def uploaded(predictions, bucket, shows: str, number: int):
    """An upload that the champion called a glioma, whatever it shows."""
    prediction_id = save(predictions, f"{number}")
    pixels = np.asarray(drawn_slice(CLASS_BRIGHTNESS[shows], number, 128))
    bucket.write(image_key("glioma", prediction_id), encode_jpeg(pixels))
    return prediction_id


def test_the_challenger_answers_each_upload_once_and_the_agreement_counts_them(store, predictions, bucket):
    for number, shows in enumerate(("glioma", "glioma", "pituitary")):
        uploaded(predictions, bucket, shows, number)
    assert answer_in_shadow(store, CHALLENGER, bucket, bucket) == 3
    assert answer_in_shadow(store, CHALLENGER, bucket, bucket) == 0
    found = store.agreement(CHALLENGER)
    assert found == Agreement(CHALLENGER, 3, 2, 0, 0)
    assert found.share == pytest.approx(2 / 3)


def test_what_readers_corrected_tells_who_was_right(store, predictions, bucket):
    ids = [uploaded(predictions, bucket, "pituitary", number) for number in range(2)]
    answer_in_shadow(store, CHALLENGER, bucket, bucket)
    for prediction_id, label in zip(ids, ("pituitary", "notumor"), strict=True):
        with predictions._sessions.begin() as session:
            session.execute(
                text(
                    "INSERT INTO feedback (prediction_id, revision, agrees, corrected_class, review_state)"
                    " VALUES (:id, 1, false, :label, 'accepted')"
                ),
                {"id": prediction_id, "label": label},
            )
    assert store.agreement(CHALLENGER) == Agreement(CHALLENGER, 2, 0, 2, 1)


def test_an_image_that_is_missing_is_passed_over(store, predictions, bucket):
    save(predictions)
    uploaded(predictions, bucket, "glioma", 1)
    assert answer_in_shadow(store, CHALLENGER, bucket, bucket) == 1


def test_an_erased_upload_is_not_answered_and_its_answer_is_erased(store, predictions, bucket, engine):
    first = uploaded(predictions, bucket, "glioma", 1)
    answer_in_shadow(store, CHALLENGER, bucket, bucket)
    predictions.erase(first, "token")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM shadow_answer")) == 0
    assert answer_in_shadow(store, CHALLENGER, bucket, bucket) == 0


def test_without_uploads_nothing_is_loaded_and_nothing_told(store, bucket):
    assert answer_in_shadow(store, "no such version", bucket, bucket) == 0
    assert store.agreement(CHALLENGER).share is None


def test_a_challenger_without_a_bundle_is_an_error(store, predictions, bucket):
    uploaded(predictions, bucket, "glioma", 1)
    with pytest.raises(BundleError):
        answer_in_shadow(store, "9", bucket, bucket)
