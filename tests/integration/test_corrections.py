from dataclasses import replace
from uuid import UUID

import pytest
import uuid6
from sqlalchemy import text

from brain_core.contracts import FeedbackRequest
from brain_core.corrections import Agreement, CorrectionStore, Retraining
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


def save(predictions, sha256="aa", pixels=None) -> UUID:
    prediction_id = uuid6.uuid7()
    probabilities = {"glioma": 1.0, "meningioma": 0.0, "notumor": 0.0, "pituitary": 0.0}
    predictions.save(
        NewPrediction(
            id=prediction_id,
            access_token="token",
            consent_version="2026-11",
            image=ImageFacts(image_key("glioma", prediction_id), sha256, 10, 10, pixels),
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


def corrected(predictions, sha256="aa", to="pituitary", pixels=None) -> UUID:
    prediction_id = save(predictions, sha256, pixels)
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
    corrections.claim(Retraining("run-1", "2", True), used)
    assert corrections.unclaimed_image_count() == 1
    assert len(corrections.accepted()) == 2
    with engine.connect() as connection:
        query = "SELECT used_by_model_version FROM feedback WHERE prediction_id = :id"
        assert connection.scalar(text(query), {"id": used[0].prediction_id}) == "2"


def test_a_correction_changed_after_its_claim_counts_again(predictions, corrections):
    prediction_id = corrected(predictions)
    corrections.claim(Retraining("run-1", "2", False), corrections.accepted())
    correct(predictions, prediction_id, "meningioma")
    assert corrections.unclaimed_image_count() == 1
    assert [c.revision for c in corrections.accepted()] == [2]


def test_the_same_pixels_in_other_files_count_once(predictions, corrections):
    for sha256 in ("aa", "bb", "cc"):
        corrected(predictions, sha256, pixels="the same")
    assert corrections.waiting().images == 1


def test_an_image_that_was_claimed_counts_again_only_with_another_class(predictions, corrections):
    corrected(predictions, "aa", pixels="the same")
    corrections.claim(Retraining("run-1", "2", True), corrections.accepted())
    corrected(predictions, "bb", pixels="the same")
    assert corrections.waiting().images == 0
    corrected(predictions, "cc", "notumor", pixels="the same")
    assert corrections.waiting().images == 1


def test_the_key_names_what_waits(predictions, corrections):
    nothing = corrections.waiting().key
    first = corrected(predictions, "aa")
    one = corrections.waiting().key
    assert corrections.waiting().key == one != nothing
    correct(predictions, first, "meningioma")
    assert corrections.waiting().key not in (one, nothing)


def test_a_late_review_and_a_late_commit_count_after_a_claim(predictions, corrections, engine):
    """Both were given before the retraining and became visible after it."""
    late, _ = corrected(predictions, "aa"), corrected(predictions, "bb")
    with engine.begin() as connection:
        connection.execute(text("UPDATE feedback SET review_state = 'pending' WHERE prediction_id = :id"), {"id": late})
    corrections.claim(Retraining("run-1", "2", True), corrections.accepted())
    assert corrections.waiting().images == 0
    with engine.begin() as connection:
        connection.execute(text("UPDATE feedback SET review_state = 'accepted'"))
    assert corrections.waiting().images == 1
    assert corrections.accepted()[0].prediction_id == late


@pytest.mark.parametrize("shift", ["-10 years", "10 years"])
def test_a_clock_that_was_moved_loses_nothing_and_repeats_nothing(predictions, corrections, engine, shift):
    corrected(predictions, "aa")
    corrections.claim(Retraining("run-1", "2", True), corrections.accepted())
    corrected(predictions, "bb", "notumor")
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE feedback SET created_at = created_at + CAST(:by AS interval) WHERE corrected_class = 'notumor'"
            ),
            {"by": shift},
        )
    assert corrections.waiting().images == 1
    corrections.claim(Retraining("run-2", "3", True), corrections.accepted())
    assert corrections.waiting().images == 0


def test_readers_who_agreed_about_a_corrected_image_are_counted(predictions, corrections):
    corrected(predictions, "aa", pixels="the same")
    for sha256 in ("bb", "cc"):
        correct(predictions, save(predictions, sha256, "the same"), None)
    correct(predictions, save(predictions, "dd", "another"), None)
    assert corrections.agreements() == [Agreement("the same", "glioma", 2)]


def test_a_committed_retraining_waits_until_it_is_carried_out(predictions, corrections):
    corrected(predictions, "aa")
    decided = Retraining("run-1", "2", True, "1")
    corrections.claim(decided, corrections.accepted())
    assert corrections.unsettled() == [decided]
    corrections.settle("run-1", False)
    assert corrections.unsettled() == []


def test_a_decision_that_is_made_again_replaces_the_one_that_was_not_carried_out(predictions, corrections):
    corrected(predictions, "aa")
    corrections.claim(Retraining("run-1", "2", True, "1"), corrections.accepted())
    again = Retraining("run-1", "2", False, "3")
    corrections.claim(again, corrections.accepted())
    assert corrections.unsettled() == [again]


def test_a_claim_repeated_for_a_run_that_is_over_changes_nothing(predictions, corrections, engine):
    corrected(predictions, "aa")
    corrections.claim(Retraining("run-1", "2", True), corrections.accepted())
    corrections.settle("run-1", True)
    corrected(predictions, "bb")
    corrections.claim(Retraining("run-1", "3", False), corrections.accepted())
    assert corrections.unclaimed_image_count() == 1
    with engine.connect() as connection:
        assert connection.execute(text("SELECT run_id, model_version, is_promoted FROM retraining")).all() == [
            ("run-1", "2", True)
        ]


def test_a_later_retraining_claims_only_what_is_new(predictions, corrections, engine):
    corrected(predictions, "aa")
    corrections.claim(Retraining("run-1", "2", True), corrections.accepted())
    corrected(predictions, "bb")
    corrections.claim(Retraining("run-2", "3", True), corrections.accepted())
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
    corrections.claim(Retraining("run-1", "2", True), [*used, replace(used[0], prediction_id=UUID(int=3))])
    assert corrections.unclaimed_image_count() == 0
    assert [c.prediction_id for c in corrections.accepted()] == [kept]


def test_a_retraining_without_corrections_is_recorded(corrections, engine):
    corrections.claim(Retraining("run-1", "2", False), [])
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM retraining")) == 1


def test_where_a_review_is_required_a_correction_counts_after_it_and_agreement_needs_none(corrections, engine):
    strict = PredictionStore(engine, is_review_required=True)
    corrected(strict, "aa")
    correct(strict, save(strict, "bb"), None)
    assert corrections.waiting().images == 0
    with engine.begin() as connection:
        states = connection.execute(text("SELECT review_state FROM feedback ORDER BY agrees")).scalars().all()
        assert states == ["pending", "accepted"]
        connection.execute(text("UPDATE feedback SET review_state = 'accepted', reviewer = 'somebody'"))
    assert corrections.waiting().images == 1
    assert corrections.accepted()[0].reviewer == "somebody"


def test_an_image_that_the_bucket_could_not_take_yet_counts_when_it_is_there(predictions, corrections, engine):
    prediction_id = corrected(predictions, "aa")
    with engine.begin() as connection:
        values = {"id": prediction_id, "data": b"image"}
        connection.execute(text("INSERT INTO image_outbox (prediction_id, data) VALUES (:id, :data)"), values)
    assert corrections.waiting().images == 0
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM image_outbox"))
    assert corrections.waiting().images == 1
