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
from brain_core.bundle import Inference, InferenceBundle, sha256
from brain_core.descriptors import describe
from brain_core.errors import BrainError, NotABrainMri
from brain_core.imaging import DecodedImage, ImageLimits, decode, encode_jpeg, model_tensor
from brain_core.labels import CLASSES
from brain_core.predictions import ImageFacts, NewPrediction, Outcome, PredictionStore, StoredPrediction
from brain_core.storage import Bucket, image_key, refused_image_key
from serving.champion import ChampionWatch
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
    """A kept upload with its access token, shown only now, and all stages' times."""

    prediction: StoredPrediction
    access_token: str
    stopwatch: Stopwatch


class Predictor:
    """Judges and keeps uploads. Its methods block: call them in a worker thread."""

    def __init__(self, champion: ChampionWatch, images: Bucket, store: PredictionStore, limits: ImageLimits) -> None:
        self._champion, self._images, self._store, self._limits = champion, images, store, limits

    def create(self, upload: Upload) -> Created:
        """Judge one upload and keep it; when it returns, image and row are both safe.

        Raises:
            InvalidImage: the bytes are not an image that is accepted; nothing was kept.
            ModelUnavailable: there is no model yet.
            StorageError: the bucket is away; nothing was kept.
            DatabaseError: PostgreSQL is away; the image was deleted again.
        """
        watch = Stopwatch()
        with watch.stage("decode"):
            image = decode(upload.data, self._limits)
        new = self._judged(upload, image, watch)
        with watch.stage("image"):
            self._images.write(new.image.key, stored_jpeg(upload.data, image))
        with watch.stage("row"):
            prediction = self._saved(replace(new, timings_ms=dict(watch.timings_ms)))
        return Created(prediction, new.access_token, watch)

    def overlay(self, prediction: StoredPrediction) -> bytes:
        """PNG of the stored image under the current champion's evidence for the class that was predicted.

        Raises:
            NotABrainMri: the upload was refused.
            ModelUnavailable: there is no model yet.
            StorageError: the bucket is away.
        """
        if prediction.outcome is None:
            raise NotABrainMri("The upload was refused, so there is nothing to explain.")
        bundle = self._champion.bundle
        image = decode(self._images.read(prediction.image_key), self._limits)
        _, _, maps = bundle.session.run(model_tensor(image, bundle.manifest.input_size)[np.newaxis])
        evidence = maps[0][..., CLASSES.index(prediction.outcome.predicted_class)]
        return explain.overlay_png(_viewable(image.grey), evidence)

    def _judged(self, upload: Upload, image: DecodedImage, watch: Stopwatch) -> NewPrediction:
        bundle, prediction_id = self._champion.bundle, uuid6.uuid7()
        with watch.stage("predict"):
            judgement = bundle.judge(image)
        decision = judgement.decision
        outcome = _outcome(bundle, judgement.inference) if decision.is_valid else None
        with watch.stage("describe"):
            descriptors = describe(image).as_dict()
        return NewPrediction(
            id=prediction_id,
            access_token=secrets.token_urlsafe(32),
            consent_version=upload.consent_version,
            image=ImageFacts(_key(prediction_id, outcome), sha256(upload.data), image.width, image.height),
            descriptors=descriptors,
            decision=decision,
            outcome=outcome,
            model_version=bundle.manifest.version,
            timings_ms={},  # known when the image is kept too
        )

    def _saved(self, new: NewPrediction) -> StoredPrediction:
        try:
            return self._store.save(new)
        except BrainError:
            self._images.delete(new.image.key)
            raise


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
    )


def _viewable(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = Image.fromarray(grey)
    picture.thumbnail((OVERLAY_PIXELS, OVERLAY_PIXELS))
    return np.asarray(picture, dtype=np.uint8)
