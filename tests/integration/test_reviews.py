"""The review queue: the store, and the routes over it."""

from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import text

from brain_core.client import BrainClient
from brain_core.database import open_engine
from brain_core.errors import AccessRefused, FeedbackChanged, NothingThere, PageUnknown, RequestInvalid, StateConflict
from brain_core.reviews import NEIGHBOURS, Decision, QueueFilter, ReviewStore
from tests.fixtures_bundle import slice_jpeg
from tests.fixtures_serving import READER_KEY

ALL = QueueFilter()


@pytest.fixture
def engine(database_url):
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine):
    return ReviewStore(engine)


def corrected(client, seed=0, label="glioma", to="pituitary"):
    created = client.predict(slice_jpeg(label, seed), consent=True)
    client.feedback(created.id, created.access_token, to)
    return created


def set_embedding(engine, prediction_id, embedding):
    with engine.begin() as connection:
        values = {"id": prediction_id, "embedding": embedding.tolist()}
        connection.execute(text("UPDATE prediction SET embedding = :embedding WHERE id = :id"), values)


def test_the_queue_shows_the_newest_first_page_by_page(client, admin, store):
    made = [corrected(client, seed) for seed in range(5)]
    pages, page = [], None
    for _ in range(3):
        queue = admin.review_queue(page=page, limit=2)
        pages.append([item.prediction_id for item in queue.items])
        page = queue.next_page
    assert [id_ for part in pages for id_ in part] == [one.id for one in reversed(made)]
    assert (page, queue.total, [len(part) for part in pages]) == (None, 5, [2, 2, 1])
    assert (queue.waiting_images, queue.retraining_above) == (5, 50)
    first = admin.review_queue(limit=1).items[0]
    assert (first.predicted_class, first.corrected_class, first.agrees) == ("glioma", "pituitary", False)
    assert (first.review_state, first.reviewer, first.model_version) == ("accepted", None, "1")


def test_the_queue_can_be_filtered(client, admin):
    wrong, right = corrected(client, 0), client.predict(slice_jpeg("notumor"), consent=True)
    client.feedback(right.id, right.access_token)
    admin.review(wrong.id, 1, "rejected", "It shows nothing.")
    for shown, expected in (
        ({"review_state": "rejected"}, {wrong.id}),
        ({"review_state": "pending"}, set()),
        ({"agrees": True}, {right.id}),
        ({"corrected_class": "pituitary"}, {wrong.id}),
        ({"predicted_class": "notumor"}, {right.id}),
        ({"model_version": "1"}, {wrong.id, right.id}),
        ({"model_version": "2"}, set()),
        ({"is_used": True}, set()),
        ({"is_used": False, "agrees": False}, {wrong.id}),
    ):
        queue = admin.review_queue(**shown)
        assert {item.prediction_id for item in queue.items} == expected, shown
        assert queue.total == len(expected)


def test_a_decision_is_kept_with_who_and_why_and_can_be_changed(client, admin):
    created = corrected(client)
    rejected = admin.review(created.id, 1, "rejected", "It shows nothing.")
    assert (rejected.review_state, rejected.reviewer, rejected.review_comment) == (
        "rejected",
        "reviewer",
        "It shows nothing.",
    )
    assert rejected.reviewed_at is not None
    assert admin.review_queue().waiting_images == 0
    assert admin.review(created.id, 1, "accepted").review_comment is None
    assert admin.review_queue().waiting_images == 1


def test_a_decision_about_feedback_that_was_changed_meanwhile_is_refused(client, admin):
    created = corrected(client)
    client.feedback(created.id, created.access_token, "notumor")
    with pytest.raises(StateConflict, match="revision 2") as caught:
        admin.review(created.id, 1, "rejected")
    assert caught.value.problem["type"] == "/problems/feedback-changed"
    assert admin.review(created.id, 2, "rejected").review_state == "rejected"


def test_changed_feedback_is_reviewed_anew(client, admin):
    created = corrected(client)
    admin.review(created.id, 1, "rejected", "No.")
    client.feedback(created.id, created.access_token, "notumor")
    (item,) = admin.review_queue().items
    assert (item.revision, item.review_state, item.reviewer, item.reviewed_at, item.review_comment) == (
        2,
        "accepted",
        None,
        None,
        None,
    )


def test_erased_feedback_leaves_the_queue(client, admin):
    created = corrected(client)
    client.erase(created.id, created.access_token)
    assert admin.review_queue().items == []
    with pytest.raises(NothingThere):
        admin.review(created.id, 1, "accepted")
    with pytest.raises(NothingThere):
        admin.review(uuid4(), 1, "accepted")


def test_similar_images_of_the_same_model_vote_and_copies_do_not(client, admin, engine):
    created = corrected(client, 0, "glioma", "pituitary")
    corrected(client, 0, "glioma", "pituitary")
    near = [client.predict(slice_jpeg("pituitary", seed), consent=True) for seed in range(3)]
    near.append(corrected(client, 9, "notumor", "pituitary"))
    near.append(client.predict(slice_jpeg("meningioma"), consent=True))
    far = [client.predict(slice_jpeg("notumor", seed), consent=True) for seed in range(10, 10 + NEIGHBOURS)]
    direction = np.eye(4)
    set_embedding(engine, created.id, direction[0])
    for one in near:
        set_embedding(engine, one.id, direction[0] + 0.1 * direction[1])
    for one in far:
        set_embedding(engine, one.id, direction[2])
    other = client.predict(slice_jpeg("pituitary", 50), consent=True)
    with engine.begin() as connection:
        connection.execute(text("UPDATE prediction SET embedding = '{1,0,0,0}' WHERE cardinality(embedding) <> 4"))
        connection.execute(text("UPDATE prediction SET model_version = '2' WHERE id = :id"), {"id": other.id})
    item = next(one for one in admin.review_queue().items if one.prediction_id == created.id)
    assert (item.similar.compared, item.similar.agreeing) == (NEIGHBOURS, 4)


def test_alone_there_is_nothing_to_compare_with(client, admin):
    corrected(client)
    (item,) = admin.review_queue().items
    assert (item.similar.compared, item.similar.agreeing) == (0, 0)


def test_only_an_admin_reviews(client, api_url):
    created = corrected(client)
    with BrainClient(api_url, api_key=READER_KEY) as reader:
        for caller, status, scope in ((client, 401, None), (reader, 403, "admin")):
            for call in (caller.review_queue, lambda caller=caller: caller.review(created.id, 1, "rejected")):
                with pytest.raises(AccessRefused) as caught:
                    call()
                assert (caught.value.status, caught.value.problem.get("scope")) == (status, scope)


def test_an_admin_key_opens_every_prediction(client, admin, api_url):
    created = client.predict(slice_jpeg(), consent=True)
    assert admin.get(created.id, "").id == created.id
    assert admin.image(created.id, "") == slice_jpeg()
    assert admin.explanation_png(created.id, "").startswith(b"\x89PNG")
    assert admin.contours(created.id, "") == created.explanation
    with BrainClient(api_url, api_key=READER_KEY) as reader, pytest.raises(NothingThere):
        reader.get(created.id, "")
    assert admin.erase(created.id, "").is_complete


@pytest.mark.parametrize("page", ["x", "!!", "W10", "WzEsMl0", "bnVsbA"])
def test_a_page_that_no_answer_gave_is_refused(store, admin, page):
    with pytest.raises(PageUnknown):
        store.page(ALL, 10, page)
    with pytest.raises(RequestInvalid) as caught:
        admin.review_queue(page=page)
    assert caught.value.problem["type"] == "/problems/page-unknown"


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"review_state": "x"}, {"predicted_class": "x"}])
def test_filters_that_make_no_sense_are_refused(admin, query):
    with pytest.raises(RequestInvalid) as caught:
        admin.review_queue(**query)
    assert caught.value.status == 422


def test_the_store_says_so_itself(store, client, admin):
    created = corrected(client)
    with pytest.raises(FeedbackChanged):
        store.decide(created.id, Decision(7, "accepted", "me"))
