import logging
from types import SimpleNamespace
from uuid import UUID

from brain_core.errors import StorageError
from brain_core.prediction_records import StoredFeedback
from serving.routes.feedback import _drop_stale_image


class Store:
    """Always lets a former copy go."""

    def drop_images(self, prediction_id, keys, delete_image):
        for key in keys:
            delete_image(key)


class Images:
    def __init__(self, is_away=False):
        self.is_away, self.deleted = is_away, []

    def delete(self, key):
        if self.is_away:
            raise StorageError("The bucket is away.")
        self.deleted.append(key)


def stored(stale_image_key):
    return StoredFeedback(UUID(int=1), 1, False, "glioma", "accepted", stale_image_key)


def test_a_former_copy_is_deleted_and_no_copy_is_none():
    images = Images()
    services = SimpleNamespace(store=Store(), images=images)
    _drop_stale_image(services, stored(None))
    _drop_stale_image(services, stored("old"))
    assert images.deleted == ["old"]


def test_feedback_that_is_kept_does_not_fail_for_a_former_copy(caplog):
    _drop_stale_image(SimpleNamespace(store=Store(), images=Images(is_away=True)), stored("old"))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
