"""The upload gate: is this a brain MRI slice?

Two rules decide: the image is grey, and its 32x32 thumbnail resembles a training thumbnail. The replaced system's
rule (correlation of grey histograms above 0.7) is computed and stored, but does not decide: it lets through more
than half of all other images.
"""

import io
from dataclasses import dataclass
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from brain_core.descriptors import histogram, thumbnail
from brain_core.errors import BundleError
from brain_core.imaging import DecodedImage

MAX_CHANNEL_SPREAD = 12.0
"""Mean spread of the colour channels (of 255) above which an image is a colour image."""


@dataclass(frozen=True)
class GateDecision:
    """What the gate found.

    Attributes:
        is_valid: the image passes.
        histogram_correlation: best Pearson correlation with a stored histogram, [-1, 1].
        score: best Pearson correlation with a stored thumbnail, [-1, 1].
        reason: a sentence for the reader; None when valid.
    """

    is_valid: bool
    histogram_correlation: float
    score: float
    reason: str | None


class Gate:
    """Compares an image with those that the model was trained on.

    Args:
        thumbnails: uint8 (K, 32, 32) of training images.
        histograms: float32 (K, 256) of training images, see `descriptors.histogram`.
        threshold: least score that passes.
    """

    def __init__(self, thumbnails: NDArray[np.uint8], histograms: NDArray[np.float32], threshold: float) -> None:
        self.thumbnails = thumbnails
        self.histograms = histograms
        self.threshold = threshold
        self._standard_thumbnails = standardised(thumbnails.reshape(len(thumbnails), -1))
        self._standard_histograms = standardised(histograms)

    def check(self, image: DecodedImage, embedding: NDArray[np.float32] | None = None) -> GateDecision:
        """Judge one image; `embedding` is the model's, float32 (E,)."""
        del embedding
        score = self.score(thumbnail(image.grey))
        correlation = best_correlation(self._standard_histograms, histogram(image.grey))
        reason = self._reason(image.channel_spread, score)
        return GateDecision(reason is None, correlation, score, reason)

    def score(self, image_thumbnail: NDArray[np.uint8]) -> float:
        """Best correlation of a uint8 (32, 32) thumbnail with a stored one, [-1, 1]."""
        return best_correlation(self._standard_thumbnails, image_thumbnail.ravel())

    def _reason(self, channel_spread: float, score: float) -> str | None:
        if channel_spread > MAX_CHANNEL_SPREAD:
            return "The image is in colour; a brain MRI slice is grey."
        if score < self.threshold:
            return "The image does not look like the brain MRI slices that the model knows."
        return None

    def to_bytes(self) -> bytes:
        """The gate as an `.npz` archive."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer, thumbnails=self.thumbnails, histograms=self.histograms, threshold=np.float64(self.threshold)
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Gate":
        """Read what `to_bytes` wrote.

        Raises:
            BundleError: the archive is damaged or lacks an array.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                return cls(arrays["thumbnails"], arrays["histograms"], float(arrays["threshold"]))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as exc:
            raise BundleError(f"gate.npz cannot be read: {exc}.") from exc


def standardised(rows: NDArray[np.generic]) -> NDArray[np.float32]:
    """Each row of (K, D) with mean 0 and length 1, so that dot products are correlations; constant rows are 0."""
    values: NDArray[np.float32] = rows.astype(np.float32)
    values -= values.mean(axis=-1, keepdims=True)
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    values /= np.where(lengths > 1e-9, lengths, np.inf)
    return values


def best_correlation(standard_rows: NDArray[np.float32], vector: NDArray[np.generic]) -> float:
    """Greatest Pearson correlation of a (D,) vector with rows that `standardised` made."""
    return float((standard_rows @ standardised(vector[np.newaxis])[0]).max())
