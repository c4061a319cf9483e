"""The networks by name, and their weights.

Every architecture but the baseline takes `images`, uint8 (N, S, S, 1) as `brain_core.imaging.model_tensor` makes them,
and gives `logits` float32 (N, 4), `embedding` float32 (N, E), `cells` float32 (N, h, w, 4), the log-odds of each tumour
at each cell, and `activation_map` float32 (N, h, w, 4), the share of each cell in the odds of the whole image.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brain_assets.ml import networks
from brain_core.errors import TrainingError
from brain_core.imaging import MODEL_SIZE

if TYPE_CHECKING:
    import keras

BASELINE = "original_cnn"
"""The replaced system's network: trained and judged for comparison, never exported, registered or promoted."""


@dataclass(frozen=True)
class Architecture:
    """One network.

    Attributes:
        build: makes it for a height and width in pixels.
        has_imagenet: whether `imagenet.initialise` knows weights for it.
    """

    build: Callable[[int], "keras.Model"]
    has_imagenet: bool = False


ARCHITECTURES: dict[str, Architecture] = {
    "twin_map": Architecture(networks.twin_map, has_imagenet=True),
    "lite0_map": Architecture(networks.lite0_map, has_imagenet=True),
    "compact_cnn": Architecture(networks.compact_cnn),
    BASELINE: Architecture(networks.original_cnn),
}


def architecture_of(name: str) -> Architecture:
    """The network of a name.

    Raises:
        TrainingError: there is none.
    """
    try:
        return ARCHITECTURES[name]
    except KeyError as exc:
        raise TrainingError(f"There is no architecture {name!r}. Choose one of {list(ARCHITECTURES)}.") from exc


def build_model(architecture: str = "compact_cnn", input_size: int = MODEL_SIZE) -> "keras.Model":
    """A network with fresh weights.

    Args:
        architecture: a name of `ARCHITECTURES`.
        input_size: height and width of the images in pixels, a multiple of 16.

    Raises:
        TrainingError: there is no such architecture.
    """
    return architecture_of(architecture).build(input_size)


def weights_bytes(model: "keras.Model") -> bytes:
    """The weights as an HDF5 file (Keras' `.weights.h5`)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.weights.h5"
        model.save_weights(path)
        return path.read_bytes()


def load_weights(model: "keras.Model", weights: bytes) -> None:
    """Set the weights to those that `weights_bytes` gave.

    Raises:
        TrainingError: they are damaged or of another architecture.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.weights.h5"
        path.write_bytes(weights)
        try:
            model.load_weights(path)
        except (OSError, ValueError, KeyError) as exc:
            raise TrainingError(f"The weights do not fit the architecture {model.name!r}: {exc}") from exc
