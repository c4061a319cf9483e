"""Follows `models/champion.json`: a newly published model answers without a restart."""

import logging
import threading
from typing import Protocol

import numpy as np

from brain_core.bundle import MANIFEST_FILE, ChampionPointer, InferenceBundle, load_bundle, read_champion, sha256
from brain_core.errors import BundleError, ModelUnavailable, ObjectNotFound, StorageError
from brain_core.imaging import DecodedImage
from brain_core.labels import CLASSES
from brain_core.storage import Bucket, model_key

logger = logging.getLogger(__name__)


class ChampionObserver(Protocol):
    """Is told how loading a published model went."""

    def model(self, version: str) -> None:
        """This version answers from now on."""

    def model_failed(self) -> None:
        """The published model could not be loaded."""

    def model_is_newest(self) -> None:
        """The model that answers is the published one."""


class ChampionWatch:
    """Looks at the champion in a thread of its own and swaps the loaded bundle in one assignment.

    A new bundle is loaded aside, verified, asked for its golden answers and warmed first; when that fails, the old one
    goes on answering.

    Args:
        bucket: holds the models.
        poll_s: seconds between looks.
        threads: threads of ONNX Runtime for one image.
        observer: is told of each success and failure.

    Attributes:
        failure: why the newest champion could not be taken; None when all is well.
    """

    def __init__(self, bucket: Bucket, poll_s: float, threads: int, observer: ChampionObserver | None = None) -> None:
        self.failure: str | None = None
        self._bucket, self._poll_s, self._threads, self._observer = bucket, poll_s, threads, observer
        self._bundle: InferenceBundle | None = None
        self._seen: ChampionPointer | None = None
        self._refusal: str | None = None
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="champion-watch", daemon=True)

    @property
    def warning(self) -> str | None:
        """What is wrong with the newest champion, as may be told to anyone; None when all is well."""
        if self.failure is None:
            return None
        return self._refusal or "The bucket of the models cannot be read; the log tells why."

    @property
    def bundle(self) -> InferenceBundle:
        """The model that answers now; take it once for each request.

        Raises:
            ModelUnavailable: none could be loaded yet.
        """
        if self._bundle is None:
            raise ModelUnavailable(self.failure or "No model has been published yet.")
        return self._bundle

    def start(self) -> None:
        """Load what is there, then watch."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """End the watch."""
        self._is_stopping.set()
        self._thread.join()

    def look(self) -> None:
        """Take the published champion if it is another than the last one looked at; a failure is logged once."""
        try:
            self._follow()
            failure = self._refusal
        except ModelUnavailable:
            failure = None
        except (BundleError, StorageError) as exc:
            failure = str(exc)
        if failure is not None and failure != self.failure:
            fields = {"event.action": "load-champion", "event.outcome": "failure", "error.message": failure}
            logger.error("The published model cannot be loaded.", extra=fields)
            if self._observer:
                self._observer.model_failed()
        elif failure is None and self.failure is not None and self._observer:
            self._observer.model_is_newest()
        self.failure = failure

    def _watch(self) -> None:
        while not self._is_stopping.wait(self._poll_s):
            self.look()

    def _follow(self) -> None:
        pointer = read_champion(self._bucket)
        if pointer == self._seen:
            return
        try:
            bundle = self._verified(pointer)
        except BundleError as exc:
            self._refusal = str(exc)
        else:
            self._bundle, self._refusal = bundle, None
            fields = {
                "event.action": "load-champion",
                "event.outcome": "success",
                "brain.model.version": pointer.version,
            }
            logger.info("The published model answers from now on.", extra=fields)
            if self._observer:
                self._observer.model(pointer.version)
        self._seen = pointer

    def _verified(self, pointer: ChampionPointer) -> InferenceBundle:
        try:
            manifest = self._bucket.read(model_key(pointer.version, MANIFEST_FILE))
        except ObjectNotFound as exc:
            raise BundleError(f"There is no bundle of version {pointer.version!r} in the bucket.") from exc
        if sha256(manifest) != pointer.sha256:
            raise BundleError(f"{MANIFEST_FILE} of version {pointer.version!r} is not the one that was promoted.")
        bundle = load_bundle(self._bucket, pointer.version, self._threads)
        bundle.check_golden()
        _warm(bundle)
        return bundle


def _warm(bundle: InferenceBundle) -> None:
    size = bundle.manifest.input_size
    gradient = np.tile(np.linspace(0, 255, size, dtype=np.uint8), (size, 1))
    image = DecodedImage(gradient, 0.0, size, size, "PNG")
    try:
        probabilities = bundle.judge(image).inference.probabilities
    except (ValueError, IndexError) as exc:
        raise BundleError(f"The bundle {bundle.manifest.version!r} cannot judge an image: {exc}.") from exc
    if probabilities.shape != (len(CLASSES),) or not np.isclose(probabilities.sum(), 1, atol=1e-3):
        raise BundleError(f"The bundle {bundle.manifest.version!r} does not give a probability for each class.")
