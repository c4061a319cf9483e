"""Shadow mode: the challenger answers what the champion answered, from the stored images, a moment later.

Serving has no part in it: no request waits for a second model, and none fails because of it.
"""

from collections.abc import Iterator
from uuid import UUID

import numpy as np

from brain_core.bundle import MODEL_FILE, OnnxSession, bucket_files, read_manifest, verified
from brain_core.errors import InvalidImage, ObjectNotFound
from brain_core.imaging import decode, model_tensor
from brain_core.shadow import ShadowAnswer, ShadowStore
from brain_core.storage import Bucket

AT_ONCE = 100
"""Images of one look."""


def answer_in_shadow(store: ShadowStore, version: str, models: Bucket, uploads: Bucket, limit: int = AT_ONCE) -> int:
    """Let a version answer recent uploads that it has not answered; gives how many it did.

    An image that is gone or does not decode is passed over.

    Raises:
        BundleError: the version has no whole bundle.
        DatabaseError, StorageError: that store is away; it can be tried again.
    """
    waiting = store.unanswered(version, limit)
    if not waiting:
        return 0
    files = bucket_files(models, version)
    manifest = read_manifest(files)
    session = OnnxSession(verified(files, manifest, MODEL_FILE), threads=1)
    answers = []
    for prediction_id, image in _images(waiting, uploads, manifest.input_size):
        probabilities = session.run(image[np.newaxis])[0][0]
        by_class = dict(zip(manifest.classes, probabilities.tolist(), strict=True))
        answers.append(ShadowAnswer(prediction_id, manifest.classes[int(probabilities.argmax())], by_class))
    store.keep(version, answers)
    return len(answers)


def _images(waiting: list[tuple[UUID, str]], uploads: Bucket, size: int) -> Iterator[tuple[UUID, np.ndarray]]:
    for prediction_id, key in waiting:
        try:
            image = decode(uploads.read(key))
        except (ObjectNotFound, InvalidImage):
            continue
        yield prediction_id, model_tensor(image, size)
