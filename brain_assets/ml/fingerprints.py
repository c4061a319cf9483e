"""What of an image survives flips, rotations, resizing and re-encoding, and which images are near by it.

Features first: of a 32x32 thumbnail's low-frequency cosine coefficients a flip or a quarter turn only changes signs and
swaps (u, v) with (v, u). Their absolute values, each swapped pair sorted, are therefore the same in all eight
orientations, and never further apart than the thumbnails are, so that a distance of the features may refuse a pair.

Then buckets: signs of random projections of the features (Charikar 2002, doi 10.1145/509907.509965) sort images into as
many buckets as there are images, several times over. Only images that share a bucket are compared, which costs about
n log n. What is found is verified exactly, in all eight orientations.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct
from scipy.ndimage import uniform_filter

from brain_core.descriptors import THUMBNAIL_SIZE
from brain_core.gate import standardised

HASH_BITS = 128
ORIENTATIONS = (
    "same",
    "turned 90",
    "turned 180",
    "turned 270",
    "mirrored",
    "mirrored, turned 90",
    "mirrored, turned 180",
    "mirrored, turned 270",
)
"""Mirrored left-right or not, then turned counter-clockwise by so many degrees."""
INVERSE_ORIENTATION = {name: name for name in ORIENTATIONS} | {"turned 90": "turned 270", "turned 270": "turned 90"}
"""What turns an image back; every mirroring is its own inverse."""

_FREQUENCIES = 12
_HASHED_FREQUENCIES = 16
_FEATURES = _FREQUENCIES**2 - 1
_HASHED_COMPONENTS = 64
_WHITENING_POWER = 0.25
_TABLES = 24
_EXTRA_BITS = 2
_OFFSET = 0.5
_MAX_BUCKET_STEPS = 128
_BLOCK_ROWS = 2048
_DETAIL_WINDOW = 3
_DETAIL_FLOOR = 12.0
_ROUNDING = 1e-4

Thumbnails = NDArray[np.uint8]
Pixels = NDArray[np.float32]
Rows = NDArray[np.int64]


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """Square images (N, S, S) in `ORIENTATIONS[orientation]`."""
    is_mirrored, quarter_turns = divmod(orientation, 4)
    return np.rot90(pixels[..., ::-1] if is_mirrored else pixels, quarter_turns, axes=(1, 2))


def standard_pixels(images: NDArray[np.generic]) -> Pixels:
    """Images (N, S, S) as float32 of mean 0 and length 1, so that products are correlations; uniform ones are 0."""
    return standardised(images.reshape(len(images), images.shape[1] * images.shape[2])).reshape(images.shape)


def cosine_coefficients(thumbnails: Thumbnails, frequencies: int = _FREQUENCIES) -> Pixels:
    """The lowest orthonormal DCT-II coefficients of the standardised thumbnails: float32 (N, F, F), `[n, v, u]`."""
    basis = dct(np.eye(THUMBNAIL_SIZE), norm="ortho", axis=0)[:frequencies].astype(np.float32)
    return np.asarray(basis @ standard_pixels(thumbnails) @ basis.T, dtype=np.float32)


def invariant_features(thumbnails: Thumbnails) -> Pixels:
    """The same in all eight orientations, never further apart than the standardised thumbnails: float32 (N, 143)."""
    features = np.empty((len(thumbnails), _FEATURES), dtype=np.float32)
    for start in range(0, len(thumbnails), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        features[block] = _folded(cosine_coefficients(thumbnails[block]))
    return features


def perceptual_hashes(thumbnails: Thumbnails) -> NDArray[np.uint8]:
    """Signs of the 128 lowest cosine coefficients but the mean: uint8 (N, 16); it survives resizing and re-encoding.

    Measured on the public data set: a resized or re-encoded image is at most 8 bits away, another patient at least 13.
    """
    coefficients = cosine_coefficients(thumbnails, _HASHED_FREQUENCIES).reshape(-1, _HASHED_FREQUENCIES**2)
    row, column = np.divmod(np.arange(_HASHED_FREQUENCIES**2), _HASHED_FREQUENCIES)
    lowest = np.lexsort((column, row, row**2 + column**2))[1 : HASH_BITS + 1]
    return np.packbits(coefficients[:, lowest] > 0, axis=1)


def differing_bits(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Bits that differ between the hashes of each row: int64 (N,)."""
    return np.asarray(np.bitwise_count(left ^ right).sum(axis=1), dtype=np.int64)


def near_pairs(features: Pixels, radius: float, seed: int = 0) -> tuple[Rows, Rows]:
    """Pairs of rows, first < second, whose features are at most `radius` apart; nearly all of them.

    A pair is missed when it shares none of the buckets: never seen for copies, under 1 in 100 at the radius itself.
    In a crowd of more than 128 images alike each is compared with the next 128 only, so that time and memory stay
    bounded; the crowd still hangs together.
    """
    found = np.empty(0, dtype=np.int64)
    for codes in _bucket_codes(features, seed):
        near = [_near_of(features, first, second, radius) for first, second in _bucket_mates(codes)]
        found = np.unique(np.concatenate([found, *near]))
    return found // max(1, len(features)), found % max(1, len(features))


def best_orientations(left: Pixels, right: Pixels) -> tuple[NDArray[np.int8], Pixels, Pixels]:
    """How each left image is best turned to match its right one.

    Args:
        left: standardised, float32 (N, S, S).
        right: likewise.

    Returns:
        Index into `ORIENTATIONS`, the correlation when so turned, and the correlation unturned: three of (N,).
    """
    correlations = np.stack([_correlations(turned(left, index), right) for index in range(len(ORIENTATIONS))])
    best = correlations.argmax(axis=0)
    return best.astype(np.int8), correlations[best, np.arange(len(left))], correlations[0]


def detail_correlations(left: NDArray[np.uint8], right: NDArray[np.uint8], orientation: NDArray[np.int8]) -> Pixels:
    """Correlation of local structure, whatever the contrast: each pixel against its 3x3 neighbourhood.

    Args:
        left: uint8 (N, 64, 64).
        right: likewise.
        orientation: how each left image is turned first, indices into `ORIENTATIONS`.

    Returns:
        float32 (N,) in [-1, 1].
    """
    fine_left, fine_right = standard_pixels(_local_contrast(left)), standard_pixels(_local_contrast(right))
    result = np.zeros(len(left), dtype=np.float32)
    for index in np.unique(orientation):
        chosen = orientation == index
        result[chosen] = _correlations(turned(fine_left[chosen], int(index)), fine_right[chosen])
    return result


def _folded(coefficients: Pixels) -> Pixels:
    # Even in both directions, a coefficient keeps its sign whichever way the image is flipped.
    folded = np.abs(coefficients)
    folded[:, ::2, ::2] = coefficients[:, ::2, ::2]
    transposed = folded.swapaxes(1, 2)
    rows, columns = np.triu_indices(_FREQUENCIES)
    larger = np.maximum(folded, transposed)[:, rows, columns]
    smaller = np.minimum(folded, transposed)[:, rows, columns]
    # The first is the mean, which is 0; on the diagonal both are the same.
    return np.concatenate([larger[:, 1:], smaller[:, rows < columns]], axis=1)


def _bucket_codes(features: Pixels, seed: int) -> Iterator[Rows]:
    """The bucket of each row, once a table; so few rows that all can be compared share one."""
    if len(features) <= _MAX_BUCKET_STEPS:
        yield np.zeros(len(features), dtype=np.int64)
        return
    bits = int(np.ceil(np.log2(len(features)))) + _EXTRA_BITS
    spread = _spread(features)
    random = np.random.default_rng(seed)
    for _ in range(_TABLES):
        planes = random.standard_normal((spread.shape[1], bits)).astype(np.float32)
        yield (spread @ planes > 0) @ (np.int64(1) << np.arange(bits, dtype=np.int64))


def _spread(features: Pixels) -> Pixels:
    """Principal components, partly whitened (a few strong ones would otherwise decide all the signs), and a constant.

    The constant moves the planes off the mean, where images that are alike would fall on both sides of them.
    """
    centred = features - features.mean(axis=0)
    variances, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    strongest = slice(-1, -_HASHED_COMPONENTS - 1, -1)
    scale = np.maximum(variances[strongest], 1e-9) ** -_WHITENING_POWER
    components = np.asarray(centred @ (directions[:, strongest] * scale), dtype=np.float32)
    length = np.sqrt(np.square(components).sum(axis=1).mean())
    return np.column_stack([components, np.full(len(features), _OFFSET * length, dtype=np.float32)])


def _bucket_mates(codes: Rows) -> Iterator[tuple[Rows, Rows]]:
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    alive = np.arange(len(codes))
    for step in range(1, _MAX_BUCKET_STEPS + 1):
        alive = alive[alive + step < len(codes)]
        alive = alive[ordered[alive] == ordered[alive + step]]
        if not len(alive):
            return
        yield order[alive], order[alive + step]


def _near_of(features: Pixels, first: Rows, second: Rows, radius: float) -> Rows:
    """The near ones among the pairs, each as one number: lower row * N + higher row."""
    near = _distances(features, first, second) <= radius + _ROUNDING
    pairs = np.minimum(first, second) * len(features) + np.maximum(first, second)
    return np.asarray(pairs[near], dtype=np.int64)


def _distances(features: Pixels, first: Rows, second: Rows) -> Pixels:
    distances = np.empty(len(first), dtype=np.float32)
    for start in range(0, len(first), _BLOCK_ROWS * 8):
        block = slice(start, start + _BLOCK_ROWS * 8)
        difference = features[first[block]] - features[second[block]]
        distances[block] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return distances


def _correlations(left: Pixels, right: Pixels) -> Pixels:
    return np.asarray(np.einsum("nij,nij->n", left, right), dtype=np.float32)


def _local_contrast(images: NDArray[np.uint8]) -> Pixels:
    values = images.astype(np.float32)
    window = (1, _DETAIL_WINDOW, _DETAIL_WINDOW)
    mean = uniform_filter(values, window)
    variance = np.maximum(uniform_filter(values * values, window) - mean * mean, 0)
    # The floor keeps the noise of a flat background from counting as structure.
    return np.asarray((values - mean) / (np.sqrt(variance) + _DETAIL_FLOOR), dtype=np.float32)
