"""`kill -9` at each step between accept and acknowledge: what was acknowledged is there, once, and nothing else."""

import os
import threading
from uuid import uuid4

import pytest

from brain_core.client import BrainClient
from brain_core.errors import AlreadyErased, ServiceUnreachable
from tests.fixtures_bundle import slice_jpeg
from tests.fixtures_crashing import Storage, crashing_api
from tests.fixtures_serving import running_api, wait_until

UPLOAD_STEPS = ("upload-accepted", "image-written", "row-written", "row-committed")


@pytest.fixture
def storage(serving_settings):
    storage = Storage(serving_settings)
    yield storage
    storage.engine.dispose()


@pytest.fixture
def settings(serving_settings, champion_bucket):
    return serving_settings


def away(images):
    images.root.parent.mkdir(parents=True, exist_ok=True)
    if images.root.exists():
        images.root.rename(images.root.with_name("aside"))
    images.root.write_text("a file where the folder was")


def back(images):
    images.root.unlink()
    if images.root.with_name("aside").exists():
        images.root.with_name("aside").rename(images.root)


def assert_all_there(client, storage, uploads):
    """Every acknowledged upload once, with its row and its very image, and nothing else."""
    storage.sweep()
    assert set(storage.rows()) == {str(answer.id) for _, answer in uploads}
    assert storage.is_whole()
    for data, answer in uploads:
        assert client.get(answer.id, answer.access_token).predicted_class == answer.predicted_class
        assert client.image(answer.id, answer.access_token) == data
    assert list(storage.images.root.rglob(".tmp-*")) == []


@pytest.mark.parametrize("step", UPLOAD_STEPS)
def test_a_crash_during_an_upload_loses_nothing_and_a_retry_doubles_nothing(settings, storage, step):
    data = [slice_jpeg("glioma", seed) for seed in range(3)]
    key = str(uuid4())
    with crashing_api(settings, step, passes=2) as url, BrainClient(url) as client:
        kept = [(data[n], client.predict(data[n], consent=True)) for n in range(2)]
        with pytest.raises(ServiceUnreachable):
            client.predict(data[2], consent=True, idempotency_key=key)
    with running_api(settings) as url, BrainClient(url) as client:
        again = client.predict(data[2], consent=True, idempotency_key=key)
        assert_all_there(client, storage, [*kept, (data[2], again)])


@pytest.mark.parametrize("step", ["row-written", "row-committed"])
def test_a_crash_while_the_bucket_is_away_loses_nothing(settings, storage, step):
    data, key = [slice_jpeg("glioma", seed) for seed in range(2)], str(uuid4())
    away(storage.images)
    with crashing_api(settings, step, passes=1) as url, BrainClient(url) as client:
        kept = client.predict(data[0], consent=True)
        with pytest.raises(ServiceUnreachable):
            client.predict(data[1], consent=True, idempotency_key=key)
    back(storage.images)
    with running_api(settings) as url, BrainClient(url) as client:
        again = client.predict(data[1], consent=True, idempotency_key=key)
        wait_until(lambda: storage.count("image_outbox") == 0)
        assert_all_there(client, storage, [(data[0], kept), (data[1], again)])


def test_a_crash_while_the_outbox_is_delivered_loses_and_doubles_nothing(settings, storage):
    data = slice_jpeg("glioma")
    away(storage.images)
    with crashing_api(settings, "outbox-image-written") as url, BrainClient(url) as client:
        kept = client.predict(data, consent=True)
        back(storage.images)
    assert storage.count("image_outbox") == 1
    with running_api(settings) as url, BrainClient(url) as client:
        wait_until(lambda: storage.count("image_outbox") == 0)
        assert_all_there(client, storage, [(data, kept)])


@pytest.mark.parametrize("step", ["move-announced", "image-copied", "move-committed"])
def test_a_crash_during_a_correction_neither_loses_nor_doubles_the_image(settings, storage, step):
    data = slice_jpeg("glioma")
    with crashing_api(settings, step) as url, BrainClient(url) as client:
        kept = client.predict(data, consent=True)
        with pytest.raises(ServiceUnreachable):
            client.feedback(kept.id, kept.access_token, "pituitary")
    with running_api(settings) as url, BrainClient(url) as client:
        assert_all_there(client, storage, [(data, kept)])
        assert client.feedback(kept.id, kept.access_token, "pituitary").revision == 1
        assert_all_there(client, storage, [(data, kept)])
    assert storage.image_keys() == [f"InferenceLogs/ImageLogsWithFeedback/pituitary/{kept.id}.jpg"]
    assert storage.count("stray_image") == 0


def test_a_crash_during_an_erasure_still_erases(settings, storage):
    with crashing_api(settings, "tombstone-committed") as url, BrainClient(url) as client:
        kept = client.predict(slice_jpeg(), consent=True)
        with pytest.raises(ServiceUnreachable):
            client.erase(kept.id, kept.access_token)
    with running_api(settings) as url, BrainClient(url) as client, pytest.raises(AlreadyErased):
        client.get(kept.id, kept.access_token)
    storage.sweep()
    assert storage.image_keys() == []
    assert storage.count("stray_image") == 0


def test_a_crash_under_load_loses_nothing_that_was_acknowledged(settings, storage):
    data = {str(uuid4()): slice_jpeg("glioma", seed) for seed in range(60)}
    waiting, kept, failed = list(data), [], []

    def upload(url):
        with BrainClient(url) as client:
            while waiting:
                key = waiting.pop()
                try:
                    kept.append((data[key], client.predict(data[key], consent=True, idempotency_key=key)))
                except ServiceUnreachable:
                    failed.append(key)

    with crashing_api(settings, "row-written", passes=6) as url:
        threads = [threading.Thread(target=upload, args=(url,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert kept
    assert failed
    with running_api(settings) as url, BrainClient(url) as client:
        for key in failed:
            kept.append((data[key], client.predict(data[key], consent=True, idempotency_key=key)))
        assert_all_there(client, storage, kept)


def test_a_half_written_file_of_a_killed_write_is_removed(serving_settings, champion_bucket, storage):
    half = storage.images.root / "InferenceLogs" / "ImageLogs" / "glioma" / ".tmp-half"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half an image")
    os.utime(half, (0, 0))
    with running_api(serving_settings):
        wait_until(lambda: not half.exists())
