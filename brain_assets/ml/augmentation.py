"""Geometric augmentation: each copy is one affine warp of its original, and so is its tumour box.

What a copy looks like follows from its original's pixels, the configuration and the copy's number alone: neither its
place among the images nor the number of threads can change it, and an equal one that exists is taken instead.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.ml.ingestion import in_threads
from brain_assets.ml.warping import warp
from brain_assets.shards import ImageArray, row_numbers
from brain_core.errors import SettingsError

MAX_SHEAR_DEGREES = 10.0
CHUNK_IMAGES = 64
"""What a thread takes at a time."""

ALGORITHM = 1
"""Count this up whenever the same draw gives other pixels, so that earlier copies are not taken for new ones."""

_DRAWS = 6
_DRAW_BYTES = 8 * _DRAWS
_MATRIX_STEP = 2.0**-20


@dataclass(frozen=True)
class AugmentationConfig:
    """How far a copy may be from its original; each range is drawn uniformly from minus to plus the value.

    Attributes:
        copies: of each image; 0 makes none.
        rotation_degrees: about the centre.
        shift_share: of width and of height.
        shear_degrees: at most 10.
        zoom_share: 0.1 is a zoom in [0.9, 1.1], one factor for both axes.
        horizontal_flip: mirror every other copy on average.
        seed: the same seed makes the same copies, whatever the number of threads.

    Raises:
        SettingsError: a value is out of its range.
    """

    copies: int = 1
    rotation_degrees: float = 10.0
    shift_share: float = 0.05
    shear_degrees: float = 10.0
    zoom_share: float = 0.1
    horizontal_flip: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {
            "copies": np.inf,
            "rotation_degrees": 180.0,
            "shift_share": 0.5,
            "shear_degrees": MAX_SHEAR_DEGREES,
            "zoom_share": 0.5,
        }
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise SettingsError(f"The augmentation's {name} is {value}; it must lie in [0, {limit:g}].")


@dataclass(frozen=True)
class Augmented:
    """Originals and their copies.

    Attributes:
        images: uint8 (M, S, S, 1), the N originals, then the first copy of each, then the second ...
        boxes: float32 (M, 4), moved with the images; NaN where unknown or no longer in the image.
        recipes: unicode (M,), equal for equal copies; empty for the originals.
        made: number of copies that are not taken from earlier ones.
    """

    images: "AugmentedImages"
    boxes: NDArray[np.float32]
    recipes: NDArray[np.str_]
    made: int


class AugmentedImages:
    """Originals, then their copies, each made when it is asked for; an array-like uint8 (M, S, S, 1).

    Args:
        originals: uint8 (N, S, S, 1).
        matrices: float64 (M - N, 2, 3), from `warp_matrices`.
        earlier: images to take copies from instead of making them.
        earlier_rows: int64 (M,), where in `earlier` each image is; -1 where it is not.
    """

    def __init__(
        self,
        originals: ImageArray,
        matrices: NDArray[np.float64],
        earlier: ImageArray,
        earlier_rows: NDArray[np.int64],
    ) -> None:
        self._originals, self._matrices = originals, matrices
        self._earlier, self._earlier_rows = earlier, earlier_rows
        self.shape = (len(originals) + len(matrices), *originals.shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels, made or not."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]:
        rows = row_numbers(index, len(self))
        images = np.empty((rows.size, *self.shape[1:]), np.uint8)

        def fill(start: int) -> None:
            # Each image has its own place and its own matrix: the order of the threads cannot matter.
            self._fill(rows.ravel()[start : start + CHUNK_IMAGES], images[start : start + CHUNK_IMAGES])

        for _ in in_threads(fill, range(0, len(images), CHUNK_IMAGES)):
            pass
        return images.reshape(*rows.shape, *self.shape[1:])

    def _fill(self, rows: NDArray[np.int64], output: NDArray[np.uint8]) -> None:
        count = len(self._originals)
        is_known = self._earlier_rows[rows] >= 0
        is_made = ~is_known & (rows >= count)
        if is_known.any():
            output[is_known] = self._earlier[self._earlier_rows[rows[is_known]]]
        output[~is_known] = self._originals[rows[~is_known] % max(1, count)]
        output[is_made] = warp(output[is_made], self._matrices[rows[is_made] - count])


def augment(
    images: ImageArray,
    config: AugmentationConfig,
    boxes: NDArray[np.float32] | None = None,
    earlier: tuple[ImageArray, NDArray[np.str_]] | None = None,
) -> Augmented:
    """The originals followed by their copies; the pixels of the copies are made when they are asked for.

    Pixels from outside the original take the nearest edge's value; in between, values are interpolated bilinearly.

    Args:
        images: uint8 (N, S, S, 1).
        config: what to do.
        boxes: float32 (N, 4), x0, y0, x1, y1 as fractions of the image's size; NaN where unknown.
        earlier: images and recipes of an earlier result; a copy with the same recipe is taken from there.
    """
    count = len(images)
    draws = _draws(_digests(images), config)
    transforms = _transforms(draws, config)
    recipes = np.concatenate([np.full(count, "", np.str_), _recipes(draws, config)])
    known_images, known_recipes = earlier if earlier is not None else (images[:0], np.empty(0, np.str_))
    known_rows = _places(recipes, known_recipes)
    unknown = np.full((count, 4), np.nan, np.float32)
    return Augmented(
        AugmentedImages(images, warp_matrices(transforms, images.shape[1]), known_images, known_rows),
        move_boxes(unknown if boxes is None else boxes, transforms),
        recipes,
        made=int((known_rows[count:] < 0).sum()),
    )


def warp_matrices(transforms: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """From x, y of a pixel in the copy to those in the original, as `warping.warp` takes them.

    Args:
        transforms: float64 (K, 2, 3), from a place in the copy to one in the original: rows then columns, from the
            centre, lengths as shares of the size.
        size: height and width of the images in pixels.

    Returns:
        float64 (K, 2, 3).
    """
    centre = (size - 1) / 2
    linear, shift = transforms[:, ::-1, 1::-1], transforms[:, ::-1, 2] * size
    return np.concatenate([linear, (shift + centre - linear.sum(axis=2) * centre)[:, :, np.newaxis]], axis=2)


def move_boxes(boxes: NDArray[np.float32], transforms: NDArray[np.float64]) -> NDArray[np.float32]:
    """The originals' boxes followed by those of the copies.

    A copy's box bounds the four moved corners and is clipped to the image.

    Args:
        boxes: float32 (N, 4), x0, y0, x1, y1 as fractions of the image's size; NaN where unknown.
        transforms: float64 (copies * N, 2, 3), see `warp_matrices`.

    Returns:
        float32 (N + copies * N, 4); NaN where unknown or where nothing of the box is left in the image.
    """
    times = len(transforms) // max(1, len(boxes))
    return np.concatenate([boxes, moved_boxes(np.tile(boxes, (times, 1)), transforms)])


def moved_boxes(boxes: NDArray[np.float32], transforms: NDArray[np.float64]) -> NDArray[np.float32]:
    """The boxes float32 (K, 4) after the transforms float64 (K, 2, 3) of their images, see `move_boxes`."""
    sides = boxes.astype(np.float64)
    corners = sides[:, [[1, 0], [1, 2], [3, 0], [3, 2]]] - 0.5
    inverse = np.linalg.inv(transforms[:, :, :2])
    moved = np.einsum("kij,kcj->kci", inverse, corners - transforms[:, np.newaxis, :, 2]) + 0.5
    low, high = np.clip(moved.min(axis=1), 0, 1), np.clip(moved.max(axis=1), 0, 1)
    found = np.concatenate([low[:, ::-1], high[:, ::-1]], axis=1)
    found[~(high > low).all(axis=1)] = np.nan
    return found.astype(np.float32)


def _digests(images: ImageArray) -> list[bytes]:
    """A hash of each image's pixels; of equal ones also of how many came before."""

    def hashes(start: int) -> list[bytes]:
        part = np.ascontiguousarray(images[start : start + CHUNK_IMAGES])
        return [sha256(image).digest() for image in part]

    found = [digest for part in in_threads(hashes, range(0, len(images), CHUNK_IMAGES)) for digest in part]
    seen: Counter[bytes] = Counter()
    for place, digest in enumerate(found):
        # Copies of exact duplicates differ, or a duplicate would add nothing.
        found[place] = digest + seen[digest].to_bytes(4, "big")
        seen[digest] += 1
    return found


def _draws(digests: Sequence[bytes], config: AugmentationConfig) -> list[bytes]:
    """Random bytes of each copy: a hash is a generator that needs no state, so that any copy can be drawn alone."""
    return [
        blake2b(digest, digest_size=_DRAW_BYTES, salt=_salt(config.seed, copy)).digest()
        for copy in range(1, config.copies + 1)
        for digest in digests
    ]


def _salt(seed: int, copy: int) -> bytes:
    return blake2b(f"{seed} {copy}".encode(), digest_size=blake2b.SALT_SIZE).digest()


def _recipes(draws: Sequence[bytes], config: AugmentationConfig) -> NDArray[np.str_]:
    """Names of the copies, equal only where the pixels are: same original, same configuration, same arithmetic."""
    ranges = {name: value for name, value in vars(config).items() if name not in ("copies", "seed")}
    maker = f"{sorted(ranges.items())} {ALGORITHM}".encode()
    return np.array([blake2b(draw + maker, digest_size=16).hexdigest() for draw in draws], np.str_)


def _transforms(draws: Sequence[bytes], config: AugmentationConfig) -> NDArray[np.float64]:
    """See `warp_matrices`; one for each draw."""
    whole = np.frombuffer(b"".join(draws), "<u8").reshape(-1, _DRAWS)
    turn, shear, zoom, down, across, flip = ((whole >> np.uint64(11)) * 2.0**-52 - 1).T
    angle, slant = np.deg2rad(turn * config.rotation_degrees), np.tan(np.deg2rad(shear * config.shear_degrees))
    cosine, sine = np.cos(angle), np.sin(angle)
    mirror = np.where(config.horizontal_flip & (flip < 0), -1.0, 1.0)
    # Rotation times shear times mirror; the first row gives rows, the second columns.
    linear = np.array([[cosine - sine * slant, -sine * mirror], [sine + cosine * slant, cosine * mirror]])
    shift = np.array([down, across]) * config.shift_share
    found = np.concatenate([linear / (1.0 + zoom * config.zoom_share), shift[:, np.newaxis]], axis=1)
    # Mathematics libraries and processors differ in the last bits; these must not reach the pixels.
    return np.asarray(np.round(found.transpose(2, 0, 1) / _MATRIX_STEP) * _MATRIX_STEP, np.float64)


def _places(recipes: NDArray[np.str_], known: NDArray[np.str_]) -> NDArray[np.int64]:
    """Where each recipe is among the known ones; -1 where it is not, and for originals."""
    rows = {recipe: row for row, recipe in enumerate(known.tolist()) if recipe}
    return np.array([rows.get(recipe, -1) for recipe in recipes.tolist()], np.int64)
