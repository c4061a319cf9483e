"""The upload gate: is this a brain MRI slice?

Boosted trees judge how the picture is built (`structure`) and how much it resembles the training images; a picture in
colour is refused whatever else it shows. The replaced system's rule (correlation
of grey histograms above 0.7) is computed and stored, but does not decide: it lets through more than half of all other
images. Fitted by `brain_assets.ml.gate_fitting`.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from brain_core.descriptors import histogram
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

MAX_LEAVES = 16
"""A tree has at most so many, a bit each."""

_ALL_LEAVES = np.uint16(2**MAX_LEAVES - 1)
_ROWS_AT_ONCE = 256

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
    """Boosted regression trees (Friedman 2001, doi 10.1214/aos/1013203451) as arrays: T trees of at most L leaves.

    A tree's leaves are numbered from left to right, at most `MAX_LEAVES`. All questions are asked at once; each whose
    answer is right rules out the leaves on its left, and the first leaf that remains is the tree's (QuickScorer,
    Lucchese et al. 2015, doi 10.1145/2766462.2767733). That is a dozen NumPy calls, however deep the trees are.

    Attributes:
        feature: int16 (T, L - 1), which feature a question is about.
        limit: float32 (T, L - 1), up to which the answer is left; infinite for questions that are not asked.
        remaining: uint16 (T, L - 1), a bit for each leaf that remains when the answer is right, leaf 0 the lowest.
        value: float32 (T, L), what a leaf adds to the log-odds.
        typical: float32 (F,), the features of a usual brain MRI slice.
    """

    feature: NDArray[np.int16]
    limit: Floats
    remaining: NDArray[np.uint16]
    value: Floats
    typical: Floats

    def log_odds(self, features: Floats) -> Floats:
        """Log-odds that pictures are brain MRI slices: float32 (N,) for features float32 (N, F)."""
        blocks = range(0, len(features), _ROWS_AT_ONCE)
        found = [self._log_odds(features[start : start + _ROWS_AT_ONCE]) for start in blocks]
        return np.concatenate(found) if found else np.empty(0, np.float32)

    def _log_odds(self, features: Floats) -> Floats:
        goes_right = features[:, self.feature] > self.limit
        remaining = np.bitwise_and.reduce(np.where(goes_right, self.remaining, _ALL_LEAVES), axis=2)
        # What lies below the lowest bit that is set is as many ones as its place.
        leaf = np.bitwise_count((remaining & -remaining) - np.uint16(1))
        return np.asarray(self.value[np.arange(len(self.value)), leaf].sum(axis=1), np.float32)


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
        return self.check_all([image])[0]

    def check_all(self, images: Sequence[DecodedImage]) -> list[GateDecision]:
        """Judge images, in their order; several together take a fraction of the time that each takes alone."""
        if not images:
            return []
        features = self._comparison.features(np.stack([image.detail for image in images]))
        log_odds = self.trees.log_odds(features).astype(np.float64)
        counted = standardised(np.stack([histogram(image.grey, image.grey_counts) for image in images]))
        closest = self._histograms[(counted @ self._histograms.T).argmax(axis=1)]
        # In double precision: single adds up in another order for every number of images.
        correlations = (counted.astype(np.float64) * closest).sum(axis=1)
        scores = 1 / (1 + np.exp(-log_odds))
        found = zip(images, features, scores.tolist(), correlations.tolist(), strict=True)
        return [self._decision(image, row, score, correlation) for image, row, score, correlation in found]

    def _decision(self, image: DecodedImage, features: Floats, score: float, correlation: float) -> GateDecision:
        if image.channel_spread > MAX_CHANNEL_SPREAD:
            return GateDecision(False, correlation, 0.0, COLOUR_REASON)
        if score >= self.threshold:
            return GateDecision(True, correlation, score, None)
        return GateDecision(False, correlation, score, self._reason(features))

    def _reason(self, features: Floats) -> str:
        """That which most lowers the odds against a picture that has it as usual."""
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
        banks = (_halved(known.thumbnails), _halved(known.bodies), known.gradients)
        self._banks = tuple(standardised(bank.reshape(len(bank), -1)) for bank in banks)

    def features(self, fines: NDArray[np.uint8], hidden: NDArray[np.bool_] | None = None) -> Floats:
        """The features of pictures, float32 (N, F), in the order of `FEATURE_NAMES`.

        Args:
            fines: each picture's `descriptors.detail`, uint8 (N, 64, 64).
            hidden: bool (N, K), known images that a picture is not compared with.
        """
        blocks = range(0, len(fines), _ROWS_AT_ONCE)
        rows = [
            (fines[at : at + _ROWS_AT_ONCE], None if hidden is None else hidden[at : at + _ROWS_AT_ONCE])
            for at in blocks
        ]
        return np.concatenate([self._features(part, part_hidden) for part, part_hidden in rows])

    def _features(self, fines: NDArray[np.uint8], hidden: NDArray[np.bool_] | None) -> Floats:
        built = structure(fines)
        pictures = (_halved(_halved(fines)), _halved(built.bodies), built.gradients)
        columns = [built.features]
        for bank, vectors in zip(self._banks, pictures, strict=True):
            columns.append(nearest(standardised(vectors.reshape(len(vectors), -1)) @ bank.T, hidden))
        return np.concatenate(columns, axis=1).astype(np.float32)


def _halved(pictures: NDArray[Any]) -> Floats:
    """Pictures of half the height and width: a 16th of a detail's pixels tell as much likeness, in less time."""
    lines = pictures[:, ::2].astype(np.float32) + pictures[:, 1::2]
    return np.asarray(lines[:, :, ::2] + lines[:, :, 1::2]) * np.float32(0.25)


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
