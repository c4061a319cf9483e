"""From an upload to a kept prediction: decode, gate, model, image into the bucket, row into PostgreSQL."""

import io
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np
import uuid6
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from brain_core import explain
from brain_core.bundle import Inference, InferenceBundle
from brain_core.descriptors import describe
from brain_core.errors import BrainError, CommitUnknown, NotABrainMri
from brain_core.fault_points import FaultPoint, pass_by
from brain_core.idempotency import IdempotencyKey, KeyedToken
from brain_core.imaging import DecodedImage, ImageLimits, decode, encode_jpeg, model_tensor, pixel_sha256
from brain_core.labels import CLASSES
from brain_core.prediction_records import ImageFacts, NewPrediction, Outcome, StoredPrediction
from brain_core.predictions import PredictionStore
from brain_core.storage import image_key, refused_image_key
from serving.judging import Judge
from serving.shelf import ImageShelf
from serving.uploads import Upload

STORED_QUALITY = 95
OVERLAY_PIXELS = 1024
"""Longest side of the overlay; a larger picture costs memory and shows no more."""

_END_OF_IMAGE = b"\xff\xd9"
_PLAIN_SEGMENTS = frozenset({"APP0", "APP14"})


@dataclass
class Stopwatch:
    """Milliseconds spent in each stage."""

    timings_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        started = time.perf_counter()
        yield
        self.timings_ms[name] = round((time.perf_counter() - started) * 1000, 3)

    def header(self) -> str:
        """The stages as a `Server-Timing` header (W3C Server Timing)."""
        return ", ".join(f"{name};dur={ms}" for name, ms in self.timings_ms.items())


@dataclass(frozen=True)
class Created:
    """A kept upload with its access token and all stages' times; `is_repeat` where it had been kept before."""

    prediction: StoredPrediction
    access_token: str
    stopwatch: Stopwatch
    is_repeat: bool = False


class Predictor:
    """Judges and keeps uploads. Its methods block: call them in a worker thread.

    Args:
        judge: asks the model that answers.
        shelf: where images are kept.
        store: where rows are kept.
        limits: of an image.
        reached: is told each step of what must survive a crash.
    """

    def __init__(
        self,
        judge: Judge,
        shelf: ImageShelf,
        store: PredictionStore,
        limits: ImageLimits,
        reached: FaultPoint = pass_by,
    ) -> None:
        self._judge, self._shelf, self._store, self._limits = judge, shelf, store, limits
        self._reached = reached

    def create(self, upload: Upload, key: IdempotencyKey | None = None) -> Created:
        """Judge one upload and keep it; when it returns, image and row are both safe.

        The image comes first, so that no row is ever without one; where no row follows, the image is deleted, here or
        by the sweep. A key that came with the same upload before gives the same prediction again.

        Raises:
            InvalidImage: the bytes are not an image that is accepted; nothing was kept.
            ModelUnavailable: there is no model yet.
            DatabaseError: PostgreSQL is away; nothing is kept, or (`CommitUnknown`) perhaps.
            IdempotencyKeyReused, PredictionErased: see `PredictionStore.find_repeat`.
        """
        self._reached("upload-accepted")
        watch = Stopwatch()
        if key is not None and (earlier := self._earlier(upload, key)):
            return _repeated(earlier, key, watch)
        with watch.stage("decode"):
            image = decode(upload.data, self._limits)
        new = self._judged(upload, image, KeyedToken.new(key) if key else None, watch)
        with watch.stage("image"):
            data = stored_jpeg(upload.data, image)
            is_shelved = self._shelf.put(new.image.key, data)
        self._reached("image-written")
        with watch.stage("row"):
            waiting = None if is_shelved else data
            kept = self._saved(replace(new, timings_ms=dict(watch.timings_ms), outbox_image=waiting))
        if key is not None and kept.id != new.id:
            # The same upload with the same key was faster: its answer counts, and this image is not needed.
            self._shelf.discard(new.image.key)
            return _repeated(kept, key, watch)
        return Created(kept, new.access_token, watch)

    def overlay(self, prediction: StoredPrediction) -> bytes:
        """PNG of the stored image under the evidence for the class that was predicted.

        Raises:
            NotABrainMri: the upload was refused.
            ModelUnavailable: the evidence was not stored, and there is no model to ask again.
            StorageError: the bucket is away.
        """
        if prediction.outcome is None:
            raise NotABrainMri("The upload was refused, so there is nothing to explain.")
        image = decode(self._shelf.get(prediction), self._limits)
        return explain.overlay_png(_viewable(image.grey), self._evidence(prediction.outcome, image))

    def _evidence(self, outcome: Outcome, image: DecodedImage) -> NDArray[np.float32]:
        if outcome.activation_map is not None:
            return explain.unpacked(outcome.activation_map)
        # Of a prediction that an earlier version kept: the current model is asked again.
        bundle = self._judge.bundle
        _, _, maps = bundle.session.run(model_tensor(image, bundle.manifest.input_size)[np.newaxis])
        evidence: NDArray[np.float32] = maps[0][..., CLASSES.index(outcome.predicted_class)]
        return evidence

    def _earlier(self, upload: Upload, key: IdempotencyKey) -> StoredPrediction | None:
        return self._store.find_repeat(key, upload.sha256, upload.consent_version)

    def _judged(self, upload: Upload, image: DecodedImage, keyed: KeyedToken | None, watch: Stopwatch) -> NewPrediction:
        with watch.stage("predict"):
            bundle, judgement = self._judge.judge(image)
        prediction_id, decision = uuid6.uuid7(), judgement.decision
        outcome = _outcome(bundle, judgement.inference) if decision.is_valid else None
        with watch.stage("describe"):
            descriptors = describe(image).as_dict()
        return NewPrediction(
            id=prediction_id,
            access_token=keyed.access_token if keyed else secrets.token_urlsafe(32),
            consent_version=upload.consent_version,
            image=_facts(_key(prediction_id, outcome), upload.sha256, image),
            descriptors=descriptors,
            decision=decision,
            outcome=outcome,
            model_version=bundle.manifest.version,
            timings_ms={},  # known when the image is kept too
            keyed=keyed,
        )

    def _saved(self, new: NewPrediction) -> StoredPrediction:
        try:
            return self._store.save(new)
        except CommitUnknown:
            # The row may be there: its image must stay. If it is not, the sweep deletes the image.
            raise
        except BrainError:
            self._shelf.discard(new.image.key)
            raise


def _repeated(earlier: StoredPrediction, key: IdempotencyKey, watch: Stopwatch) -> Created:
    return Created(earlier, key.access_token(earlier.token_salt or b""), watch, is_repeat=True)


def _facts(key: str, sha256: str, image: DecodedImage) -> ImageFacts:
    return ImageFacts(key, sha256, image.width, image.height, pixel_sha256(image.grey))


def stored_jpeg(data: bytes, image: DecodedImage) -> bytes:
    """JPEG of an upload without metadata: the very bytes where they hold nothing else, else encoded anew, grey.

    Args:
        data: the upload.
        image: `data` decoded.
    """
    if image.format == "JPEG" and _is_plain_jpeg(data):
        return data
    return encode_jpeg(image.grey, STORED_QUALITY)


def _is_plain_jpeg(data: bytes) -> bool:
    # Bytes after the end marker can hide anything; a second end marker may mean so, rarely it is chance.
    if data.count(_END_OF_IMAGE) != 1 or not data.endswith(_END_OF_IMAGE):
        return False
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as opened:
        segments = opened.applist if isinstance(opened, JpegImagePlugin.JpegImageFile) else [("unknown", b"")]
        return {name for name, _ in segments} <= _PLAIN_SEGMENTS


def _key(prediction_id: UUID, outcome: Outcome | None) -> str:
    if outcome is None:
        return refused_image_key(prediction_id, "jpg")
    return image_key(outcome.predicted_class, prediction_id)


def _outcome(bundle: InferenceBundle, inference: Inference) -> Outcome:
    evidence = inference.activation_map
    return Outcome(
        predicted_class=inference.predicted_class,
        probabilities=dict(zip(CLASSES, inference.probabilities.tolist(), strict=True)),
        confidence=inference.confidence,
        is_uncertain=bundle.is_uncertain(inference),
        explanation={"peak": explain.peak(evidence), "contours": explain.contours(evidence)},
        embedding=inference.embedding.tolist(),
        activation_map=explain.packed(evidence),
    )


def _viewable(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = Image.fromarray(grey)
    picture.thumbnail((OVERLAY_PIXELS, OVERLAY_PIXELS))
    return np.asarray(picture, dtype=np.uint8)
