"""Affine warps by integer arithmetic alone: the same bits on every processor, operating system and NumPy.

Floating-point warps (OpenCV's, SciPy's, TensorFlow's) round otherwise where the processor fuses multiplications and
additions, see docs/decisions/0005-images-in-shards.md.
"""

import numpy as np
from numpy.typing import NDArray

_MATRIX_BITS = 16
_PLACE_BITS = 8
_PLACE_ONE = 1 << _PLACE_BITS
_LANES = 0x00FF00FF


def warp(images: NDArray[np.uint8], matrices: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Each image warped by its matrix.

    Between four pixels values are interpolated bilinearly at 1/256 of a pixel; outside, the nearest pixel counts.

    Args:
        images: uint8 (K, S, S, 1).
        matrices: float64 (K, 2, 3), from x, y of a pixel in the output to those in the image, in pixels below 32,768.

    Returns:
        uint8 (K, S, S, 1).
    """
    size = images.shape[1]
    steps = np.arange(size, dtype=np.int32)
    fixed = np.rint(matrices * 2.0**_MATRIX_BITS).astype(np.int32)
    # Half a step is added so that the shift to fewer bits rounds.
    starts = fixed[:, :, 2, np.newaxis] + (1 << (_MATRIX_BITS - _PLACE_BITS - 1))
    along, down = fixed[:, :, 0, np.newaxis] * steps + starts, fixed[:, :, 1, np.newaxis] * steps
    workspace = _Workspace(size)
    warped = np.empty_like(images)
    for index, image in enumerate(images):
        workspace.place(along[index], down[index])
        workspace.gather(image.reshape(-1))
        warped[index].reshape(-1)[:] = workspace.blend()
    return warped


class _Workspace:
    """The arrays that one warp after the other is computed in: allocating them takes as long as filling them.

    Args:
        size: height and width of the images in pixels.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._places = np.empty((2, size, size), np.int32)
        self._first = np.zeros((2, size, size), np.int32)
        self._last = np.full((2, size, size), (size - 1) << _PLACE_BITS, np.int32)
        self._shares = np.empty((2, size, size), np.int32)
        self._squares, self._corners, self._other = np.empty((3, size * size), np.uint32)

    def place(self, along: NDArray[np.int32], down: NDArray[np.int32]) -> None:
        """Where each output pixel lies in the image: x and y, whole pixels and the share of the next one."""
        places = self._places
        np.add(along[:, np.newaxis, :], down[:, :, np.newaxis], out=places)
        places >>= _MATRIX_BITS - _PLACE_BITS
        # Full arrays as bounds: twice as fast as `clip` with two numbers.
        np.maximum(np.minimum(places, self._last, out=places), self._first, out=places)
        np.bitwise_and(places, _PLACE_ONE - 1, out=self._shares)
        places >>= _PLACE_BITS

    def gather(self, image: NDArray[np.uint8]) -> None:
        """Four pixels for each output pixel, a byte each: upper left, lower left, upper right, lower right.

        In the last column and row the others are of no account: their share is zero there.
        """
        size, squares, other = self._size, self._squares, self._other
        squares[:] = image
        np.left_shift(squares[1:], 16, out=other[:-1])
        squares[:-1] |= other[:-1]
        np.left_shift(squares[size:], 8, out=other[:-size])
        squares[:-size] |= other[:-size]
        x, y = self._places
        y *= size
        y += x
        squares.take(y.reshape(-1), out=self._corners, mode="wrap")

    def blend(self) -> NDArray[np.uint32]:
        """Grey values of the output pixels, (S * S,)."""
        x_share, y_share = self._shares.reshape(2, -1).view(np.uint32)
        upper, lower = self._other, self._corners
        np.bitwise_and(lower, _LANES, out=upper)
        lower >>= 8
        lower &= _LANES
        # Left and right in one number: a difference may borrow from its neighbour, the sum pays it back.
        _mix(upper, lower, y_share)
        left, right = upper, lower
        np.bitwise_and(lower, 0xFFFF, out=left)
        right >>= 16
        _mix(left, right, x_share)
        right += 1 << (2 * _PLACE_BITS - 1)
        right >>= 2 * _PLACE_BITS
        return right


def _mix(first: NDArray[np.uint32], second: NDArray[np.uint32], share: NDArray[np.uint32]) -> None:
    """Make of `second`: `first` + `share` / 256 of the difference, times 256; `first` is used up."""
    second -= first
    second *= share
    first <<= _PLACE_BITS
    second += first
