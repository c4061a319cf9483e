from uuid import UUID

import pytest
import uuid6
from sqlalchemy import text

from brain_core.contracts import FeedbackRequest
from brain_core.database import open_engine
from brain_core.errors import (
    DatabaseError,
    NotABrainMri,
    PredictionErased,
    PredictionNotFound,
    StorageError,
    UnknownClass,
)
from brain_core.gate import GateDecision
from brain_core.labels import TumourClass
from brain_core.prediction_records import ADMIN, ImageFacts, NewPrediction, Outcome
from brain_core.predictions import PredictionStore
from brain_core.storage import corrected_image_key, image_key, refused_image_key

TOKEN = "token"
AGREES = FeedbackRequest(agrees=True)
PITUITARY = FeedbackRequest(agrees=False, corrected_class=TumourClass.PITUITARY)
MENINGIOMA = FeedbackRequest(agrees=False, corrected_class=TumourClass.MENINGIOMA)
OUTCOME = Outcome(
    predicted_class="glioma",
    probabilities={"glioma": 0.7, "meningioma": 0.1, "notumor": 0.1, "pituitary": 0.1},
    confidence=0.7,
    is_uncertain=False,
    explanation={"peak": [0.5, 0.25], "contours": [[[0.0, 0.0], [1.0, 1.0]]]},
    embedding=[0.5, -1.25],
)


class Copies:
    """Records which copies were asked for."""

    def __init__(self):
        self.made = []

    def __call__(self, old, new):
        self.made.append((old, new))


@pytest.fixture
def engine(database_url):
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine):
    return PredictionStore(engine)


def new_prediction(outcome=OUTCOME, access_token=TOKEN):
    prediction_id = uuid6.uuid7()
    key = image_key("glioma", prediction_id) if outcome else refused_image_key(prediction_id, "jpg")
    return NewPrediction(
        id=prediction_id,
        access_token=access_token,
        consent_version="2026-11",
        image=ImageFacts(key, "ab" * 32, 200, 100),
        descriptors={"brightness": 50.0},
        decision=GateDecision(outcome is not None, 0.9, 0.8, None if outcome else "Too colourful."),
        outcome=outcome,
        model_version="7",
        timings_ms={"decode": 1.5},
    )


def noted(engine):
    with engine.connect() as connection:
        return set(connection.execute(text("SELECT image_key FROM stray_image")).scalars())


def refuse(*_):
    raise StorageError("away")


def test_what_was_saved_is_read_back(store):
    new = new_prediction()
    saved = store.save(new)
    assert store.get(new.id, TOKEN) == saved
    assert (saved.outcome, saved.decision, saved.timings_ms) == (OUTCOME, new.decision, {"decode": 1.5})
    assert (saved.image_key, saved.model_version) == (new.image.key, "7")
    assert saved.created_at.utcoffset().total_seconds() == 0


def test_a_refusal_is_kept_without_an_outcome(store, engine):
    new = new_prediction(outcome=None)
    assert store.save(new).outcome is None
    with engine.connect() as connection:
        query = "SELECT count(*) FROM prediction WHERE NOT is_valid AND probabilities IS NULL AND explanation IS NULL"
        assert connection.scalar(text(query)) == 1


def test_only_the_hash_of_the_token_is_stored(store, engine):
    store.save(new_prediction(access_token="very-secret-token"))
    with engine.connect() as connection:
        row = connection.execute(text("SELECT prediction::text, access_token_sha256 FROM prediction")).one()
    assert "very-secret-token" not in row[0]
    assert len(row[1]) == 32


@pytest.mark.parametrize("token", ["", "tokem", "token ", "tökén"])
def test_a_wrong_token_finds_nothing(store, token):
    new = new_prediction()
    store.save(new)
    with pytest.raises(PredictionNotFound):
        store.get(new.id, token)


def test_an_unknown_id_is_not_found(store):
    with pytest.raises(PredictionNotFound):
        store.get(UUID(int=1), TOKEN)


def test_a_correction_moves_the_image(store):
    new, copies = new_prediction(), Copies()
    store.save(new)
    feedback = store.set_feedback(new.id, TOKEN, PITUITARY, copies)
    there = corrected_image_key("pituitary", new.id)
    assert (feedback.revision, feedback.corrected_class, feedback.review_state) == (1, "pituitary", "accepted")
    assert copies.made == [(new.image.key, there)]
    assert feedback.stale_image_key == new.image.key
    assert store.get(new.id, TOKEN).image_key == there


def test_a_move_notes_where_a_copy_may_be_left(store, engine):
    new = new_prediction()
    store.save(new)
    with pytest.raises(StorageError):
        store.set_feedback(new.id, TOKEN, PITUITARY, refuse)
    assert noted(engine) == {corrected_image_key("pituitary", new.id)}
    stale = store.set_feedback(new.id, TOKEN, PITUITARY, Copies()).stale_image_key
    assert noted(engine) == {stale} == {new.image.key}
    store.drop_images(new.id, [stale], lambda _: None)
    assert noted(engine) == set()


def test_an_admin_reaches_every_prediction(store):
    new = new_prediction()
    store.save(new)
    assert store.get(new.id, ADMIN).id == new.id
    store.erase(new.id, ADMIN)


def test_a_replaced_verdict_raises_the_revision_and_moves_the_image_on(store):
    new, copies = new_prediction(), Copies()
    store.save(new)
    revisions = [
        store.set_feedback(new.id, TOKEN, verdict, copies).revision for verdict in (AGREES, MENINGIOMA, AGREES)
    ]
    assert revisions == [1, 2, 3]
    there = corrected_image_key("meningioma", new.id)
    assert copies.made == [(new.image.key, there), (there, new.image.key)]


def test_the_same_verdict_again_changes_nothing(store):
    new, copies = new_prediction(), Copies()
    store.save(new)
    store.set_feedback(new.id, TOKEN, PITUITARY, copies)
    again = store.set_feedback(new.id, TOKEN, PITUITARY, copies)
    assert (again.revision, again.stale_image_key, len(copies.made)) == (1, None, 1)


def test_feedback_is_not_kept_when_the_image_cannot_be_copied(store):
    new = new_prediction()
    store.save(new)
    with pytest.raises(StorageError):
        store.set_feedback(new.id, TOKEN, PITUITARY, refuse)
    assert store.get(new.id, TOKEN).image_key == new.image.key
    assert store.set_feedback(new.id, TOKEN, PITUITARY, Copies()).revision == 1


def test_a_correction_to_the_predicted_class_is_refused(store):
    new = new_prediction()
    store.save(new)
    verdict = FeedbackRequest(agrees=False, corrected_class=TumourClass.GLIOMA)
    with pytest.raises(UnknownClass, match="glioma"):
        store.set_feedback(new.id, TOKEN, verdict, Copies())


def test_a_refused_upload_takes_no_feedback(store):
    new = new_prediction(outcome=None)
    store.save(new)
    with pytest.raises(NotABrainMri):
        store.set_feedback(new.id, TOKEN, AGREES, Copies())


def test_feedback_needs_the_token(store):
    new = new_prediction()
    store.save(new)
    with pytest.raises(PredictionNotFound):
        store.set_feedback(new.id, "other", AGREES, Copies())


def test_a_stale_image_is_dropped_but_not_one_that_came_back(store):
    new, dropped = new_prediction(), []
    store.save(new)
    store.drop_images(new.id, [new.image.key, "elsewhere"], dropped.append)
    assert dropped == ["elsewhere"]


def test_erasing_leaves_an_empty_tombstone(store, engine):
    new = new_prediction()
    store.save(new)
    store.set_feedback(new.id, TOKEN, PITUITARY, Copies())
    keys = store.erase(new.id, TOKEN)
    assert {new.image.key, corrected_image_key("pituitary", new.id)} <= set(keys)
    with engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM prediction")).mappings().one()
        assert connection.scalar(text("SELECT count(*) FROM feedback")) == 0
        assert connection.scalar(text("SELECT count(*) FROM erasure WHERE purged_at IS NULL")) == 1
    kept = {name for name, value in row.items() if value is not None and value != 0 and value != {}}
    assert kept == {
        "id",
        "created_at",
        "access_token_sha256",
        "consent_version",
        "consent_at",
        "is_valid",
        "model_version",
        "deleted_at",
    }


def test_the_owner_of_an_erased_upload_is_told_so_and_nobody_else(store):
    new = new_prediction()
    store.save(new)
    store.erase(new.id, TOKEN)
    for call in (store.get, store.erase):
        with pytest.raises(PredictionErased):
            call(new.id, TOKEN)
        with pytest.raises(PredictionErased):
            call(new.id, ADMIN)
        with pytest.raises(PredictionNotFound):
            call(new.id, "other")
    with pytest.raises(PredictionErased):
        store.set_feedback(new.id, TOKEN, AGREES, Copies())


def test_a_refused_upload_can_be_erased(store):
    new = new_prediction(outcome=None)
    store.save(new)
    assert store.erase(new.id, TOKEN) == [new.image.key]


def test_images_whose_deletion_failed_stay_noted(store, engine):
    new = new_prediction(outcome=None)
    store.save(new)
    keys = store.erase(new.id, TOKEN)
    with pytest.raises(StorageError):
        store.drop_images(new.id, keys, refuse)
    assert noted(engine) == {new.image.key}
    store.drop_images(new.id, keys, lambda _: None)
    assert noted(engine) == set()


def test_erasing_needs_the_token(store):
    new = new_prediction()
    store.save(new)
    with pytest.raises(PredictionNotFound):
        store.erase(new.id, "other")
    assert store.get(new.id, TOKEN).id == new.id


def test_a_database_that_is_away_is_an_error_of_ours(tmp_path):
    store = PredictionStore(open_engine(f"postgresql+psycopg2://postgres@/brain?host={tmp_path}"))
    with pytest.raises(DatabaseError, match="away"):
        store.get(UUID(int=1), TOKEN)
