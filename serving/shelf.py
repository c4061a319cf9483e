"""Where the images of uploads are kept: the bucket, or PostgreSQL's outbox while the bucket is away."""

import logging
import threading

from brain_core.errors import ObjectNotFound, StorageError
from brain_core.outbox import ImageOutbox
from brain_core.prediction_records import StoredPrediction
from brain_core.storage import Bucket

logger = logging.getLogger(__name__)


class ImageShelf:
    """Puts images into the bucket and gets them; usable from several threads.

    A bucket that failed counts as away until an image of the outbox was delivered to it (`Upkeep`): uploads then go to
    the outbox at once, instead of each waiting for the bucket to fail again.

    Args:
        bucket: of uploads.
        outbox: what waits for it.
    """

    def __init__(self, bucket: Bucket, outbox: ImageOutbox) -> None:
        self.bucket = bucket
        self._outbox = outbox
        self._away = threading.Event()

    @property
    def is_away(self) -> bool:
        """Did the bucket fail, and was not seen working since?"""
        return self._away.is_set()

    def put(self, key: str, data: bytes) -> bool:
        """Write an image; False when the bucket is away, so that it must go into the outbox with its row."""
        if self.is_away:
            return False
        try:
            self.bucket.write(key, data)
        except StorageError as exc:
            self._note_failure(exc)
            return False
        return True

    def deliver(self, key: str, data: bytes) -> None:
        """Write an image of the outbox; from then on the bucket counts as back.

        Raises:
            StorageError: it is still away.
        """
        self.bucket.write(key, data)
        self.note_return()

    def note_return(self) -> None:
        """The bucket is back, or nothing waits for it."""
        if self.is_away:
            self._away.clear()
            fields = {"event.action": "bucket-back", "event.outcome": "success"}
            logger.info("The bucket of uploads is tried again.", extra=fields)

    def get(self, prediction: StoredPrediction) -> bytes:
        """The image of a prediction, from wherever it is.

        Raises:
            StorageError: the bucket is away and the image is in it.
        """
        try:
            return self.bucket.read(prediction.image_key)
        except StorageError:
            waiting = self._outbox.image(prediction.id)
            if waiting is None:
                raise
            return waiting

    def discard(self, key: str) -> None:
        """Delete an image that no row will have; where that fails, the sweep finds it."""
        try:
            self.bucket.delete(key)
        except StorageError as exc:
            logger.warning("An image without a row is left for the sweep.", extra={"error.message": str(exc)})

    def _note_failure(self, error: StorageError) -> None:
        if not self.is_away:
            self._away.set()
            fields = {"event.action": "bucket-away", "event.outcome": "failure", "error.message": str(error)}
            logger.error("The bucket of uploads is away; images wait in the outbox.", extra=fields)


def copy_image(bucket: Bucket, old_key: str, new_key: str) -> None:
    """Copy an image inside the bucket.

    Raises:
        StorageError: the bucket is away, or there is no image.
    """
    try:
        bucket.write(new_key, bucket.read(old_key))
    except ObjectNotFound as exc:
        raise StorageError(f"The image {old_key!r} is not in the bucket. Was it deleted by hand?") from exc
