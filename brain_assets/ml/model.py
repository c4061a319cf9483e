"""Network architectures by name.

Every architecture takes `images`, uint8 (N, S, S, 1) as `brain_core.imaging.model_tensor` makes them, and gives
`logits` float32 (N, 4), `embedding` float32 (N, E), `activation_map` float32 (N, h, w, 4), the probability of each
class at each cell, and `cells` float32 (N, h, w, 4), the same before the softmax.
"""

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

NO_EVIDENCE = -6.0
"""A cell's evidence for each tumour before training; some hundred such cells together say "no tumour"."""


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
    """Residual network after He et al. 2016 (arXiv:1512.03385), 0.6 M parameters, with a class map for a head.

    The map joins the last stage with the finer one before it (Lin et al. 2017, arXiv:1612.03144). Each cell gives the
    log-odds of each tumour against none, and the image's are the logarithm of their summed odds: the decision is made
    from the map and from nothing else.
    """
    import keras
    from keras import layers

    images = keras.Input((input_size, input_size, 1), dtype="uint8", name="images")
    x = layers.Rescaling(1 / 255, name="scale")(images)
    # Scanners differ in gain and offset; with mean 0 and variance 1 an image does not show its own. The usual epsilon
    # of 0.001 would leave dark images darker: their variance is not much greater.
    x = layers.LayerNormalization(axis=[1, 2, 3], epsilon=1e-5, center=False, scale=False, name="standardise")(x)
    x = layers.ReLU(name="stem_relu")(_convolution(x, STAGES[0][0], "stem", kernel=7, strides=4))
    stages = []
    for stage, (channels, blocks) in enumerate(STAGES, start=1):
        for block in range(1, blocks + 1):
            halves = stage > 1 and block == 1
            x = _residual_block(x, channels, f"stage{stage}_block{block}", strides=2 if halves else 1)
        stages.append(x)
    features = _joined(stages[-1], stages[-2])
    evidence = layers.Conv2D(
        len(CLASSES) - 1, 1, bias_initializer=keras.initializers.Constant(NO_EVIDENCE), name="evidence"
    )(features)
    return keras.Model(images, _outputs(evidence, features), name="compact_cnn")


ARCHITECTURES: dict[str, Callable[[int], "keras.Model"]] = {"compact_cnn": _compact_cnn}


def _joined(coarse: Any, fine: Any) -> Any:
    """The coarse features on the fine grid, with the fine ones added: (N, h, w, C) of the coarse one's channels."""
    from keras import layers

    channels = coarse.shape[-1]
    enlarged = layers.UpSampling2D(_cells_along(coarse, fine), interpolation="bilinear", name="enlarged")(coarse)
    lateral = _convolution(fine, channels, "lateral", kernel=1)
    joined = layers.ReLU(name="joined_relu")(layers.Add(name="joined")([enlarged, lateral]))
    return layers.ReLU(name="head_relu")(_convolution(joined, channels, "head"))


def _cells_along(coarse: Any, fine: Any) -> int:
    """How many cells of the fine grid lie along one of the coarse grid."""
    return int(fine.shape[1] // coarse.shape[1])


def _outputs(evidence: Any, features: Any) -> dict[str, Any]:
    """The outputs of every architecture, and `cells`: the class scores (N, h, w, 4) of each cell."""
    import keras
    from keras import layers

    pooled = keras.ops.logsumexp(evidence, axis=(1, 2))
    cells = _with_no_tumour(evidence)
    return {
        "logits": _with_no_tumour(pooled),
        "embedding": layers.GlobalAveragePooling2D(name="embedding")(features),
        "activation_map": layers.Softmax(name="activation_map")(cells),
        "cells": cells,
    }


def _with_no_tumour(scores: Any) -> Any:
    """Scores of the tumours, (…, 3), with that of no tumour, which is 0, in its place: (…, 4)."""
    import keras

    place = CLASSES.index("notumor")
    before, after = scores[..., :place], scores[..., place:]
    return keras.ops.concatenate([before, keras.ops.zeros_like(scores[..., :1]), after], axis=-1)


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
