"""The upload gate: is this a brain MRI slice?

Boosted trees judge how the picture is built (`structure`) and how much it resembles the training images; a picture in
colour is refused whatever else it shows. The replaced system's rule (correlation
of grey histograms above 0.7) is computed and stored, but does not decide: it lets through more than half of all other
images. Fitted by `brain_assets.ml.gate_fitting`.
"""

import io
import math
from dataclasses import dataclass, fields
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from brain_core.descriptors import detail, histogram, thumbnail
from brain_core.errors import BundleError
from brain_core.imaging import DecodedImage
from brain_core.structure import GROUPS, STRUCTURE_NAMES, structure

Floats = NDArray[np.float32]

MAX_CHANNEL_SPREAD = 12.0
"""Mean spread of the colour channels (of 255) above which an image is a colour image."""

ORIGINAL_THRESHOLD = 0.7
"""The replaced system took an image for a brain MRI slice when its histogram correlation was above this."""

NEAREST = 3
"""So many most similar training images are looked at."""

LIKENESS_NAMES = tuple(f"{kind}_{way}" for kind in ("thumbnail", "body", "gradients") for way in ("best", "near"))
FEATURE_NAMES: tuple[str, ...] = (*STRUCTURE_NAMES, *LIKENESS_NAMES)
"""What the trees judge, in this order."""

COLOUR_REASON = "The image is in colour; a brain MRI slice is grey."
_REASONS = {
    "tones": "The image's mixture of dark, grey and bright is not that of a brain MRI slice.",
    "border": "The image is not dark where an MRI slice shows the air around the head.",
    "outline": "The image does not have the outline of a head.",
    "profile": "What lies below the outline is not skin, skull and brain as MRI shows them.",
    "symmetry": "The image lacks the symmetry of a head.",
    "pattern": "The image's edges and patterns are not those of a brain MRI slice.",
    "likeness": "The image does not resemble the brain MRI slices that the model knows.",
}
_GROUPS = {**GROUPS, "likeness": tuple(range(len(STRUCTURE_NAMES), len(FEATURE_NAMES)))}


@dataclass(frozen=True)
class GateDecision:
    """What the gate found.

    Attributes:
        is_valid: the image passes.
        histogram_correlation: best Pearson correlation with a stored histogram, [-1, 1].
        score: how much the image is like a brain MRI slice, [0, 1].
        reason: a sentence for the reader; None when valid.
    """

    is_valid: bool
    histogram_correlation: float
    score: float
    reason: str | None


@dataclass(frozen=True)
class KnownImages:
    """The training images that an upload is compared with.

    Attributes:
        histograms: float16 (K, 256), see `descriptors.histogram`.
        thumbnails: uint8 (K, 32, 32), see `descriptors.thumbnail`.
        bodies: uint8 (K, 32, 32), see `structure.Structure`.
        gradients: float16 (K, 384), see `structure.Structure`.
    """

    histograms: NDArray[np.float16]
    thumbnails: NDArray[np.uint8]
    bodies: NDArray[np.uint8]
    gradients: NDArray[np.float16]


@dataclass(frozen=True)
class Trees:
    """Boosted regression trees (Friedman 2001, doi 10.1214/aos/1013203451) as arrays: T trees of at most N nodes.

    Attributes:
        feature: int16 (T, N), which feature a node asks about.
        limit: float32 (T, N), up to which the answer is left.
        left: int16 (T, N), the node on the left; a leaf names itself.
        right: int16 (T, N), the node on the right; a leaf names itself.
        value: float32 (T, N), what a leaf adds to the log-odds.
        typical: float32 (F,), the features of a usual brain MRI slice.
    """

    feature: NDArray[np.int16]
    limit: Floats
    left: NDArray[np.int16]
    right: NDArray[np.int16]
    value: Floats
    typical: Floats

    def log_odds(self, features: Floats) -> Floats:
        """Log-odds that pictures are brain MRI slices: float32 (N,) for features float32 (N, F)."""
        trees = np.arange(len(self.feature))
        at = np.zeros((len(features), len(trees)), np.intp)
        rows = np.arange(len(features))[:, np.newaxis]
        # A tree of N nodes, half of them leaves, is at most N / 2 questions deep.
        for _ in range(self.feature.shape[1] // 2):
            goes_left = features[rows, self.feature[trees, at]] <= self.limit[trees, at]
            at = np.where(goes_left, self.left[trees, at], self.right[trees, at])
        return np.asarray(self.value[trees, at].sum(axis=1), np.float32)


class Gate:
    """Judges how a picture is built and how it resembles the training images.

    Args:
        known: what uploads are compared with; at least one image.
        trees: what weighs the features.
        threshold: least score that passes.
    """

    def __init__(self, known: KnownImages, trees: Trees, threshold: float) -> None:
        self.known = known
        self.trees = trees
        self.threshold = threshold
        self._comparison = Comparison(known)
        self._histograms = standardised(known.histograms)

    def check(self, image: DecodedImage, embedding: Floats | None = None) -> GateDecision:
        """Judge one image.

        Args:
            image: the upload.
            embedding: the model's; not used, see docs/decisions/0008-upload-gate.md.
        """
        del embedding
        features = self._comparison.features(detail(image.grey)[np.newaxis])
        score = self._score(features, image.channel_spread)
        correlation = float((self._histograms @ standardised(histogram(image.grey))).max())
        is_valid = score >= self.threshold
        reason = None if is_valid else self._reason(features, image.channel_spread)
        return GateDecision(is_valid, correlation, score, reason)

    def _score(self, features: Floats, channel_spread: float) -> float:
        if channel_spread > MAX_CHANNEL_SPREAD:
            return 0.0
        return 1 / (1 + math.exp(-float(self.trees.log_odds(features)[0])))

    def _reason(self, features: Floats, channel_spread: float) -> str:
        """Colour, or that which most lowers the odds against a picture that has it as usual."""
        if channel_spread > MAX_CHANNEL_SPREAD:
            return COLOUR_REASON
        mended = np.tile(features, (len(_GROUPS), 1))
        for row, places in zip(mended, _GROUPS.values(), strict=True):
            row[list(places)] = self.trees.typical[list(places)]
        return _REASONS[list(_GROUPS)[int(self.trees.log_odds(mended).argmax())]]

    def to_bytes(self) -> bytes:
        """The gate as an `.npz` archive."""
        buffer = io.BytesIO()
        arrays = {**vars(self.known), **vars(self.trees), "threshold": np.float64(self.threshold)}
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Gate":
        """Read what `to_bytes` wrote.

        Raises:
            BundleError: the archive is damaged, lacks an array or has one of another shape.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                known = KnownImages(**{field.name: arrays[field.name] for field in fields(KnownImages)})
                trees = Trees(**{field.name: arrays[field.name] for field in fields(Trees)})
                threshold = float(arrays["threshold"])
            _check_shapes(known, trees)
            return cls(known, trees, threshold)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as exc:
            raise BundleError(f"gate.npz cannot be read: {exc}. Make the bundle again.") from exc


class Comparison:
    """Turns pictures into features, by comparing them with known ones."""

    def __init__(self, known: KnownImages) -> None:
        banks: tuple[NDArray[Any], ...] = (known.thumbnails, known.bodies, known.gradients)
        self._banks = tuple(standardised(bank.reshape(len(bank), -1)) for bank in banks)

    def features(self, fines: NDArray[np.uint8], hidden: NDArray[np.bool_] | None = None) -> Floats:
        """The features of pictures, float32 (N, F), in the order of `FEATURE_NAMES`.

        Args:
            fines: each picture's `descriptors.detail`, uint8 (N, 64, 64).
            hidden: bool (N, K), known images that a picture is not compared with.
        """
        built = [structure(fine) for fine in fines]
        pictures: tuple[NDArray[Any], ...] = (
            np.stack([thumbnail(fine, fine) for fine in fines]),
            np.stack([one.body for one in built]),
            np.stack([one.gradients for one in built]),
        )
        columns = [np.stack([one.features for one in built])]
        for bank, vectors in zip(self._banks, pictures, strict=True):
            columns.append(nearest(standardised(vectors.reshape(len(vectors), -1)) @ bank.T, hidden))
        return np.concatenate(columns, axis=1).astype(np.float32)


def nearest(similarities: Floats, hidden: NDArray[np.bool_] | None = None) -> Floats:
    """The greatest similarity that is not hidden, and the mean of the `NEAREST` greatest: float32 (N, 2) for (N, K)."""
    seen = similarities if hidden is None else np.where(hidden, -1, similarities)
    count = min(NEAREST, seen.shape[1])
    top = np.partition(seen, -count, axis=1)[:, -count:]
    return np.stack([top.max(axis=1), top.mean(axis=1)], axis=1).astype(np.float32)


def standardised(rows: NDArray[Any]) -> Floats:
    """Vectors (..., D) with mean 0 and length 1, so that dot products are correlations; constant ones are 0."""
    values: Floats = rows.astype(np.float32)
    return _unit(values - values.mean(axis=-1, keepdims=True))


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 1e-6, lengths, np.inf), np.float32)


def _check_shapes(known: KnownImages, trees: Trees) -> None:
    if trees.typical.shape != (len(FEATURE_NAMES),):
        raise ValueError(f"it was made for {trees.typical.size} features; this code knows {len(FEATURE_NAMES)}")
    counts = {len(bank) for bank in (known.histograms, known.thumbnails, known.bodies, known.gradients)}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(f"its lists of known images have the lengths {sorted(counts)}")
