from dataclasses import replace

import pytest
from sqlalchemy import text

from brain_core.contracts import FeedbackRequest
from brain_core.database import open_engine
from brain_core.errors import StorageError
from brain_core.labels import TumourClass
from brain_core.outbox import ImageOutbox, OutboxState
from brain_core.predictions import PredictionStore
from brain_core.storage import corrected_image_key
from tests.integration.test_predictions import TOKEN, new_prediction


@pytest.fixture
def engine(database_url):
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine):
    return PredictionStore(engine)


@pytest.fixture
def outbox(engine):
    return ImageOutbox(engine)


def waiting(store, data=b"image"):
    new = replace(new_prediction(), outbox_image=data)
    store.save(new)
    return new


def refuse(*_):
    raise StorageError("The bucket is away.")


def test_a_waiting_image_is_delivered_once_to_where_its_row_says(store, outbox):
    new, delivered = waiting(store), {}
    assert outbox.state().depth == 1
    assert outbox.image(new.id) == b"image"
    assert outbox.deliver_one(delivered.__setitem__) is True
    assert delivered == {new.image.key: b"image"}
    assert outbox.deliver_one(delivered.__setitem__) is False
    assert (outbox.state(), outbox.image(new.id)) == (OutboxState(0, 0.0), None)


def test_an_image_in_the_bucket_does_not_wait(store, outbox):
    new = new_prediction()
    store.save(new)
    assert outbox.image(new.id) is None
    assert outbox.state().depth == 0


def test_a_failed_delivery_pauses_longer_each_time_and_says_why(store, outbox, engine):
    waiting(store)
    pauses = []
    for attempt in (1, 2, 3):
        with pytest.raises(StorageError):
            outbox.deliver_one(refuse)
        assert outbox.deliver_one(refuse) is False
        with engine.begin() as connection:
            query = (
                "SELECT attempts, extract(epoch FROM next_attempt_at - now()) AS pause, last_error FROM image_outbox"
            )
            row = connection.execute(text(query)).one()
            assert (row.attempts, row.last_error) == (attempt, "The bucket is away.")
            pauses.append(float(row.pause))
            connection.execute(text("UPDATE image_outbox SET next_attempt_at = now()"))
    assert pauses == pytest.approx([1, 2, 4], abs=0.9)
    assert outbox.state().oldest_s > 0


def test_the_pause_has_a_limit(store, outbox, engine):
    waiting(store)
    with engine.begin() as connection:
        connection.execute(text("UPDATE image_outbox SET attempts = 5000"))
    with pytest.raises(StorageError):
        outbox.deliver_one(refuse)
    with engine.connect() as connection:
        query = "SELECT next_attempt_at - now() < interval '61 seconds' FROM image_outbox"
        assert connection.scalar(text(query)) is True


def test_feedback_on_a_waiting_image_changes_where_it_goes(store, outbox):
    new, delivered = waiting(store), {}
    verdict = FeedbackRequest(agrees=False, corrected_class=TumourClass.PITUITARY)
    store.set_feedback(new.id, TOKEN, verdict, refuse)
    outbox.deliver_one(delivered.__setitem__)
    assert list(delivered) == [corrected_image_key("pituitary", new.id)]


def test_an_erased_image_is_never_delivered(store, outbox):
    new, delivered = waiting(store), {}
    store.erase(new.id, TOKEN)
    assert outbox.deliver_one(delivered.__setitem__) is False
    assert delivered == {}


def test_two_processes_deliver_different_images(store, outbox, engine):
    first, second = waiting(store), waiting(store)
    other, delivered = ImageOutbox(engine), []

    def write(key, data):
        delivered.append(key)
        if len(delivered) == 1:
            assert other.deliver_one(write) is True
            assert other.deliver_one(write) is False

    outbox.deliver_one(write)
    assert sorted(delivered) == sorted([first.image.key, second.image.key])
