"""Network architectures by name.

Every architecture takes `images`, uint8 (N, S, S, 1) as `brain_core.imaging.model_tensor` makes them, and gives
`logits` float32 (N, 4), `embedding` float32 (N, E) and `activation_map` float32 (N, h, w, 4).
"""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brain_core.errors import TrainingError
from brain_core.imaging import MODEL_SIZE
from brain_core.labels import CLASSES

if TYPE_CHECKING:
    import keras

STAGES = ((24, 1), (48, 2), (96, 2))
"""Channels and blocks of the residual stages; every stage but the first halves height and width."""


SHARPNESS = 2.0
"""Of the soft maximum over the cells: 0 would be their mean, infinity their maximum."""


def build_model(architecture: str = "compact_cnn", input_size: int = MODEL_SIZE) -> "keras.Model":
    """A network with fresh weights.

    Args:
        architecture: a name of `ARCHITECTURES`.
        input_size: height and width of the images in pixels, a multiple of 16.

    Raises:
        TrainingError: there is no such architecture.
    """
    try:
        build = ARCHITECTURES[architecture]
    except KeyError as exc:
        raise TrainingError(f"There is no architecture {architecture!r}. Choose one of {list(ARCHITECTURES)}.") from exc
    return build(input_size)


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


def _compact_cnn(input_size: int) -> "keras.Model":
    """Residual network after He et al. 2016 (arXiv:1512.03385), 0.4 M parameters, with a class map for a head.

    The class map is the evidence that the decision is made from: the logits are the soft maximum of its cells (Pinheiro
    and Collobert 2015, arXiv:1411.6228), so a small lesion is not averaged away.
    """
    import keras
    from keras import layers

    images = keras.Input((input_size, input_size, 1), dtype="uint8", name="images")
    x = layers.Rescaling(1 / 255, name="scale")(images)
    # Scanners differ in gain and offset; with mean 0 and variance 1 an image does not show its own. The usual epsilon
    # of 0.001 would leave dark images darker: their variance is not much greater.
    x = layers.LayerNormalization(axis=[1, 2, 3], epsilon=1e-5, center=False, scale=False, name="standardise")(x)
    x = layers.ReLU(name="stem_relu")(_convolution(x, STAGES[0][0], "stem", kernel=7, strides=4))
    for stage, (channels, blocks) in enumerate(STAGES, start=1):
        for block in range(1, blocks + 1):
            halves = stage > 1 and block == 1
            x = _residual_block(x, channels, f"stage{stage}_block{block}", strides=2 if halves else 1)
    activation_map = layers.Conv2D(len(CLASSES), 1, name="activation_map")(x)
    outputs = {
        "logits": _soft_maximum(activation_map),
        "embedding": layers.GlobalAveragePooling2D(name="embedding")(x),
        "activation_map": activation_map,
    }
    return keras.Model(images, outputs, name="compact_cnn")


ARCHITECTURES: dict[str, Callable[[int], "keras.Model"]] = {"compact_cnn": _compact_cnn}


def _soft_maximum(activation_map: Any) -> Any:
    import keras

    cells = activation_map.shape[1] * activation_map.shape[2]
    pooled = keras.ops.logsumexp(SHARPNESS * activation_map, axis=(1, 2))
    return (pooled - math.log(cells)) / SHARPNESS


def _residual_block(x: Any, channels: int, name: str, strides: int) -> Any:
    from keras import layers

    shortcut = x
    if strides > 1:
        shortcut = layers.AveragePooling2D(strides, name=f"{name}_pool")(x)
        shortcut = _convolution(shortcut, channels, f"{name}_shortcut", kernel=1)
    inner = layers.ReLU(name=f"{name}_a_relu")(_convolution(x, channels, f"{name}_a", strides=strides))
    total = layers.Add(name=f"{name}_add")([shortcut, _convolution(inner, channels, f"{name}_b")])
    return layers.ReLU(name=f"{name}_relu")(total)


def _convolution(x: Any, channels: int, name: str, kernel: int = 3, strides: int = 1) -> Any:
    from keras import layers

    x = layers.Conv2D(channels, kernel, strides, padding="same", use_bias=False, name=f"{name}_conv")(x)
    # The usual momentum of 0.99 would need hundreds of steps, more than a small data set has.
    return layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
