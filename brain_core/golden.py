"""Golden images: drawn pictures, nobody's, with the answers that a model gave them when it was made.

A server that loads the model asks it for the same answers before it lets it speak.
"""

import io
from dataclasses import dataclass
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from brain_core.errors import BundleError
from brain_core.labels import CLASSES


@dataclass(frozen=True)
class Golden:
    """Pictures and answers.

    Attributes:
        pictures: uint8 (G, H, W), grey, as decoded and before they are resized for the model.
        probabilities: float32 (G, 4), what the model says of each.
    """

    pictures: NDArray[np.uint8]
    probabilities: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the answers."""
        return self.probabilities.shape

    def to_bytes(self) -> bytes:
        """The pictures and answers as an `.npz` archive."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, pictures=self.pictures, probabilities=self.probabilities)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Golden":
        """Read what `to_bytes` wrote.

        Raises:
            BundleError: the archive is damaged, or its arrays do not fit together.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                golden = cls(arrays["pictures"], arrays["probabilities"])
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as exc:
            raise BundleError(f"golden.npz cannot be read: {exc}. Make the bundle again.") from exc
        count = len(golden.pictures)
        if golden.pictures.ndim != 3 or golden.pictures.dtype != np.uint8 or golden.shape != (count, len(CLASSES)):
            raise BundleError("golden.npz does not hold grey pictures with an answer each. Make the bundle again.")
        return golden
