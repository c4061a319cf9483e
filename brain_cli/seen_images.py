"""Which images a bundle's model has seen in its training: the very same ones, and likely copies of them."""

import io
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_assets.ml.duplicates import MIN_CORRELATION
from brain_assets.ml.fingerprints import HASH_BITS, ORIENTATIONS, perceptual_hashes, standard_pixels, turned
from brain_core.bundle import SPLIT_FILE, BundleFiles, InferenceBundle, verified
from brain_core.errors import BundleError

PARTS = ("train", "validation", "test")
TUNED_ON = ("train", "validation")
"""Parts that the model was trained on or its settings were chosen with."""

HASH_COLUMN = "perceptual_hash"
"""Column of `split.parquet`: 16 bytes of `fingerprints.perceptual_hashes`. A bundle may lack it."""

MAX_DIFFERING_BITS = 10
"""Hashes that differ in so many bits are of one slice.

Measured on 2,034 images of the public data set, in eight orientations: of such pairs 96 % have thumbnails that
correlate above 0.98, and 99.7 % above 0.95; of the pairs above 0.995, 98 % are found.
"""

_BLOCK_IMAGES = 128


@dataclass(frozen=True)
class SeenImages:
    """What a bundle keeps of the images that its model has seen.

    Attributes:
        parts: part of the data by `pixel_sha256`; None when the bundle does not say.
        hashes: uint8 (H, 16), perceptual hashes of all images of `TUNED_ON`; empty when the bundle has none.
        thumbnails: uint8 (K, 32, 32), those of the training images that the upload gate keeps.
    """

    parts: dict[str, str] | None
    hashes: NDArray[np.uint8]
    thumbnails: NDArray[np.uint8]

    @property
    def limits(self) -> str:
        """How likely copies are told, and what stays unrecognised: a sentence."""
        if len(self.hashes):
            return (
                "Likely copies resemble an image of the training or validation part in one of eight orientations "
                f"(perceptual hashes that differ in at most {MAX_DIFFERING_BITS} of {HASH_BITS} bits, or thumbnails "
                f"that correlate above {MIN_CORRELATION}). Other slices of the same patients stay unrecognised."
            )
        return (
            f"Likely copies resemble one of the {len(self.thumbnails)} training images that the bundle's gate keeps, "
            f"in one of eight orientations (thumbnails that correlate above {MIN_CORRELATION}). The bundle keeps "
            "nothing of the others, so that most copies may stay unrecognised, if they were encoded again."
        )

    def part_of(self, pixel_sha256: list[str]) -> NDArray[np.str_] | None:
        """The part that each image of these pixels was in, or `unknown`: (N,); None when the bundle does not say."""
        return None if self.parts is None else np.array([self.parts.get(one, "unknown") for one in pixel_sha256])

    def likely_copies(self, thumbnails: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Is an image, also mirrored or turned, likely a copy of one that the model has seen?

        Args:
            thumbnails: uint8 (N, 32, 32).

        Returns:
            bool (N,).
        """
        blocks = [thumbnails[start : start + _BLOCK_IMAGES] for start in range(0, len(thumbnails), _BLOCK_IMAGES)]
        return np.concatenate([self._copies_in(block) for block in blocks])

    def _copies_in(self, thumbnails: NDArray[np.uint8]) -> NDArray[np.bool_]:
        rows = standard_pixels(self.thumbnails).reshape(len(self.thumbnails), -1).T
        is_copy = np.zeros(len(thumbnails), dtype=np.bool_)
        for orientation in range(len(ORIENTATIONS)):
            images = turned(thumbnails.astype(np.float32), orientation)
            correlations = standard_pixels(images).reshape(len(images), -1) @ rows
            hashes = _words(perceptual_hashes(images.astype(np.uint8)))
            differing = np.bitwise_count(hashes[:, np.newaxis] ^ _words(self.hashes)).sum(axis=-1)
            is_copy |= correlations.max(axis=1, initial=-1) > MIN_CORRELATION
            is_copy |= differing.min(axis=1, initial=HASH_BITS) <= MAX_DIFFERING_BITS
        return is_copy


def seen_images(files: BundleFiles, bundle: InferenceBundle) -> SeenImages:
    """Read what a bundle keeps of the images that its model has seen.

    Raises:
        BundleError: its `split.parquet` is missing, altered or no table.
    """
    data, thumbnails = verified(files, bundle.manifest, SPLIT_FILE), bundle.gate.known.thumbnails
    no_hashes = np.empty((0, HASH_BITS // 8), dtype=np.uint8)
    if not data:
        return SeenImages(None, no_hashes, thumbnails)
    splits = _table(data, files.name)
    if not {"pixel_sha256", "part"} <= set(splits.columns):
        return SeenImages(None, no_hashes, thumbnails)
    hashes = _hashes(splits) if HASH_COLUMN in splits else no_hashes
    return SeenImages(_part_by_pixels(splits), hashes, thumbnails)


def _table(data: bytes, name: str) -> pd.DataFrame:
    try:
        return pd.read_parquet(io.BytesIO(data))
    except (ValueError, OSError) as exc:
        raise BundleError(f"{SPLIT_FILE} of the bundle {name} cannot be read: {exc}. Use another bundle.") from exc


def _part_by_pixels(splits: pd.DataFrame) -> dict[str, str]:
    # Where equal pixels are in several parts, that which the model has seen most of counts.
    rank = splits["part"].map({name: number for number, name in enumerate(PARTS)})
    first = splits.assign(rank=rank).sort_values("rank", kind="stable").drop_duplicates("pixel_sha256")
    return dict(zip(first["pixel_sha256"], first["part"], strict=True))


def _hashes(splits: pd.DataFrame) -> NDArray[np.uint8]:
    seen = splits.loc[splits["part"].isin(TUNED_ON), HASH_COLUMN]
    return np.frombuffer(b"".join(seen), dtype=np.uint8).reshape(-1, HASH_BITS // 8)


def _words(hashes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    # Eight bytes at once are compared several times faster.
    return np.ascontiguousarray(hashes).view(np.uint64)
