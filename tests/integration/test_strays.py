from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import uuid6
from sqlalchemy import text
from sqlalchemy.orm import Session

from brain_core.database import open_engine
from brain_core.predictions import PredictionStore
from brain_core.storage import image_key
from brain_core.strays import MAX_PREFIXES, StraySweeper, Swept, id_prefixes, made_at, note_strays, upload_id
from tests.integration.test_predictions import new_prediction

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
def engine(database_url):
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


def at(time: datetime) -> UUID:
    milliseconds = int((time - BEGINNING) / timedelta(milliseconds=1))
    return UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | 1)


def upload(bucket, time):
    key = image_key("glioma", at(time))
    bucket.write(key, b"image")
    return key


def keys(bucket):
    return list(bucket.keys("InferenceLogs/"))


def test_an_image_without_a_row_is_deleted_and_one_with_a_row_is_not(bucket, engine):
    kept = new_prediction()
    PredictionStore(engine).save(kept)
    bucket.write(kept.image.key, b"image")
    upload(bucket, datetime.now(UTC) - timedelta(days=400))
    upload(bucket, datetime.now(UTC))
    assert StraySweeper(engine, bucket, grace_s=0).sweep() == Swept(noted=0, orphaned=2)
    assert keys(bucket) == [kept.image.key]


def test_what_may_be_of_a_request_under_way_is_left_alone(bucket, engine):
    young = upload(bucket, datetime.now(UTC) - timedelta(seconds=50))
    upload(bucket, datetime.now(UTC) - timedelta(seconds=70))
    assert StraySweeper(engine, bucket, grace_s=60).sweep().orphaned == 1
    assert keys(bucket) == [young]


def test_an_image_that_was_too_young_is_found_by_a_later_sweep(bucket, engine):
    upload(bucket, datetime.now(UTC))
    assert StraySweeper(engine, bucket, grace_s=60).sweep().orphaned == 0
    assert StraySweeper(engine, bucket, grace_s=0).sweep().orphaned == 1


def test_only_the_time_since_the_last_sweep_is_listed(bucket, engine):
    StraySweeper(engine, bucket, grace_s=0).sweep()
    listed = []

    class Watched:
        def keys(self, prefix):
            listed.append(prefix)
            return iter(())

        def drop_unfinished(self, age_s):
            pass

    StraySweeper(engine, Watched(), grace_s=0).sweep()
    now = f"{at(datetime.now(UTC)).hex[:6]}"
    assert listed
    assert all(f"/{now}" in prefix for prefix in listed)


def test_foreign_objects_are_left_alone(bucket, engine):
    for key in ("InferenceLogs/ImageLogs/glioma/readme.txt", f"InferenceLogs/ImageLogs/glioma/{UUID(int=5)}.jpg"):
        bucket.write(key, b"x")
    StraySweeper(engine, bucket, grace_s=0).sweep()
    assert len(keys(bucket)) == 2


def test_noted_keys_are_deleted_but_never_where_the_image_is(bucket, engine):
    kept = new_prediction()
    PredictionStore(engine).save(kept)
    elsewhere = image_key("pituitary", kept.id)
    gone = image_key("glioma", uuid6.uuid7())
    for key in (kept.image.key, elsewhere, gone):
        bucket.write(key, b"image")
    with Session(engine) as session:
        note_strays(session, kept.id, [kept.image.key, elsewhere])
        note_strays(session, upload_id(gone), [gone])
        session.commit()
    assert StraySweeper(engine, bucket, grace_s=60).sweep().noted == 0
    StraySweeper(engine, bucket, grace_s=0).sweep()
    assert keys(bucket) == [kept.image.key]
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM stray_image")) == 0


def test_one_process_sweeps_at_a_time(bucket, engine):
    StraySweeper(engine, bucket, grace_s=0).sweep()
    upload(bucket, datetime.now(UTC))
    with engine.begin() as other:
        other.execute(text("SELECT * FROM sweep_mark FOR UPDATE"))
        assert StraySweeper(engine, bucket, grace_s=0).sweep() is None
    assert StraySweeper(engine, bucket, grace_s=0).sweep().orphaned == 1


def test_an_id_tells_its_time_and_its_key():
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made = uuid6.uuid7()
    assert before <= made_at(made) <= datetime.now(UTC)
    assert upload_id(image_key("glioma", made)) == made
    assert upload_id("InferenceLogs/x.jpg") is None
    assert upload_id(f"{UUID(int=5)}.jpg") is None


@pytest.mark.parametrize(
    "length", [timedelta(seconds=1), timedelta(minutes=10), timedelta(days=3), timedelta(days=9000)]
)
def test_few_prefixes_cover_a_period(length):
    until = datetime(2026, 11, 28, 12, tzinfo=UTC)
    since = until - length
    prefixes = id_prefixes(since, until)
    assert 1 <= len(prefixes) <= MAX_PREFIXES
    for part in range(101):
        name = str(at(since + length * part / 100))
        assert any(name.startswith(prefix) for prefix in prefixes)
    if length < timedelta(days=1):
        assert not any(str(at(until + timedelta(days=30))).startswith(prefix) for prefix in prefixes)
