from dataclasses import replace
from uuid import UUID

import pytest
import uuid6
from sqlalchemy import text

from brain_core.contracts import FeedbackRequest
from brain_core.corrections import CorrectionStore
from brain_core.database import open_engine
from brain_core.gate import GateDecision
from brain_core.prediction_records import ImageFacts, NewPrediction, Outcome
from brain_core.predictions import PredictionStore
from brain_core.storage import corrected_image_key, image_key


@pytest.fixture
def engine(database_url):
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def predictions(engine):
    return PredictionStore(engine)


@pytest.fixture
def corrections(engine):
    return CorrectionStore(engine)


def save(predictions, sha256="aa") -> UUID:
    prediction_id = uuid6.uuid7()
    probabilities = {"glioma": 1.0, "meningioma": 0.0, "notumor": 0.0, "pituitary": 0.0}
    predictions.save(
        NewPrediction(
            id=prediction_id,
            access_token="token",
            consent_version="2026-11",
            image=ImageFacts(image_key("glioma", prediction_id), sha256, 10, 10),
            descriptors={},
            decision=GateDecision(True, 1.0, 1.0, None),
            outcome=Outcome("glioma", probabilities, 1.0, False, {}, [0.0]),
            model_version="1",
            timings_ms={},
        )
    )
    return prediction_id


def correct(predictions, prediction_id, to="pituitary"):
    verdict = FeedbackRequest(agrees=to is None, corrected_class=to)
    predictions.set_feedback(prediction_id, "token", verdict, lambda *_: None)


def corrected(predictions, sha256="aa", to="pituitary") -> UUID:
    prediction_id = save(predictions, sha256)
    correct(predictions, prediction_id, to)
    return prediction_id


def test_corrections_are_listed_oldest_first_and_agreement_is_not(predictions, corrections):
    first, second = corrected(predictions, "aa"), corrected(predictions, "bb", "notumor")
    correct(predictions, save(predictions), None)
    save(predictions)
    listed = corrections.accepted()
    assert [(c.prediction_id, c.label, c.image_sha256) for c in listed] == [
        (first, "pituitary", "aa"),
        (second, "notumor", "bb"),
    ]
    assert listed[0].image_key == corrected_image_key("pituitary", first)
    assert listed[0].revision == 1


@pytest.mark.parametrize("state", ["pending", "rejected"])
def test_corrections_that_were_not_accepted_do_not_count(predictions, corrections, engine, state):
    corrected(predictions)
    with engine.begin() as connection:
        connection.execute(text("UPDATE feedback SET review_state = :state"), {"state": state})
    assert corrections.accepted() == []
    assert corrections.unclaimed_image_count() == 0


def test_an_erased_correction_is_gone(predictions, corrections):
    predictions.erase(corrected(predictions), "token")
    assert corrections.accepted() == []
    assert corrections.unclaimed_image_count() == 0


def test_the_same_image_counts_once(predictions, corrections):
    for sha256 in ("aa", "aa", "bb"):
        corrected(predictions, sha256)
    assert corrections.unclaimed_image_count() == 2


def test_claimed_corrections_no_longer_count(predictions, corrections, engine):
    corrected(predictions, "aa")
    used = corrections.accepted()
    corrected(predictions, "bb")
    corrections.claim("run-1", "2", True, used)
    assert corrections.unclaimed_image_count() == 1
    assert len(corrections.accepted()) == 2
    with engine.connect() as connection:
        query = "SELECT used_by_model_version FROM feedback WHERE prediction_id = :id"
        assert connection.scalar(text(query), {"id": used[0].prediction_id}) == "2"


def test_a_correction_changed_after_its_claim_counts_again(predictions, corrections):
    prediction_id = corrected(predictions)
    corrections.claim("run-1", "2", False, corrections.accepted())
    correct(predictions, prediction_id, "meningioma")
    assert corrections.unclaimed_image_count() == 1
    assert [c.revision for c in corrections.accepted()] == [2]


def test_a_claim_repeated_for_the_same_run_changes_nothing(predictions, corrections, engine):
    corrected(predictions, "aa")
    corrections.claim("run-1", "2", True, corrections.accepted())
    corrected(predictions, "bb")
    corrections.claim("run-1", "3", False, corrections.accepted())
    assert corrections.unclaimed_image_count() == 1
    with engine.connect() as connection:
        assert connection.execute(text("SELECT run_id, model_version, is_promoted FROM retraining")).all() == [
            ("run-1", "2", True)
        ]


def test_a_later_retraining_claims_only_what_is_new(predictions, corrections, engine):
    corrected(predictions, "aa")
    corrections.claim("run-1", "2", True, corrections.accepted())
    corrected(predictions, "bb")
    corrections.claim("run-2", "3", True, corrections.accepted())
    assert corrections.unclaimed_image_count() == 0
    with engine.connect() as connection:
        query = (
            "SELECT run_id, count(*) FROM retraining_feedback f JOIN retraining r ON r.id = retraining_id GROUP BY 1"
        )
        assert dict(connection.execute(text(query)).all()) == {"run-1": 1, "run-2": 1}


def test_corrections_erased_before_the_claim_are_left_out(predictions, corrections):
    erased, kept = corrected(predictions, "aa"), corrected(predictions, "bb")
    used = corrections.accepted()
    predictions.erase(erased, "token")
    corrections.claim("run-1", "2", True, [*used, replace(used[0], prediction_id=UUID(int=3))])
    assert corrections.unclaimed_image_count() == 0
    assert [c.prediction_id for c in corrections.accepted()] == [kept]


def test_a_retraining_without_corrections_is_recorded(corrections, engine):
    corrections.claim("run-1", "2", False, [])
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM retraining")) == 1
