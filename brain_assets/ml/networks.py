"""The networks, layer by layer; `model.ARCHITECTURES` names them."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brain_core.errors import TrainingError
from brain_core.labels import CLASSES

if TYPE_CHECKING:
    import keras

STAGES = ((24, 1), (48, 2), (96, 2))
"""Channels and blocks of the residual stages; every stage but the first halves height and width."""

LITE0_STEM = 32
LITE0_STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3))
"""Kernel, stride, expansion, channels and blocks of each stage."""

FINE_STAGE = 2
"""The stage of `LITE0_STAGES` on whose grid the map lies: an eighth of the image's pixels a side."""

HEAD_CHANNELS = 96
DROPOUT = 0.2
EVIDENCE = "_evidence"
"""End of the names of the layers that give the evidence."""

ORIGINAL_SIZE = 224
ORIGINAL_CHANNELS = (64, 64, 128, 128)

NO_EVIDENCE = -6.0
"""A cell's evidence for each tumour before training; some hundred such cells together say "no tumour"."""


def compact_cnn(input_size: int) -> "keras.Model":
    """Residual network after He et al. 2016 (arXiv:1512.03385), 0.5 M parameters, with a class map for a head."""
    images = _images(input_size)
    features = _compact_features(_standardised(images))
    return _model(images, _outputs(_evidence(features, "compact_head"), [features]), "compact_cnn")


def lite0_map(input_size: int) -> "keras.Model":
    """EfficientNet-lite0 up to its fifth stage (Tan and Le 2019, arXiv:1905.11946), 0.8 M parameters, with a class map.

    Its layers carry the names under which `imagenet` knows their weights.
    """
    images = _images(input_size)
    features = _lite0_features(_standardised(images))
    return _model(images, _outputs(_evidence(features, "lite0_head"), [features]), "lite0_map")


def twin_map(input_size: int) -> "keras.Model":
    """`lite0_map` and `compact_cnn` side by side, 1.3 M parameters: the evidence is the mean of theirs.

    One of them starts from photographs, the other from nothing, so that they err in different places. Each learns from
    a loss of its own: the outputs `logits_lite0`, `cells_lite0`, `logits_compact`, `cells_compact` are there for that.
    """
    images = _images(input_size)
    x = _standardised(images)
    features = {"lite0": _lite0_features(x), "compact": _compact_features(x)}
    evidence = {name: _evidence(each, f"{name}_head") for name, each in features.items()}
    outputs = _outputs(sum(evidence.values()) / len(evidence), list(features.values()))
    for name, each in evidence.items():
        outputs |= {f"logits_{name}": _pooled(each), f"cells_{name}": _with_no_tumour(each)}
    return _model(images, outputs, "twin_map")


def original_cnn(input_size: int) -> "keras.Model":
    """The network of the replaced system, 9.7 M parameters: a baseline; it has no class map.

    It saw colour images of 224 x 224 pixels; the grey input is enlarged and repeated.
    """
    from keras import layers

    images = _images(input_size)
    x = layers.Resizing(ORIGINAL_SIZE, ORIGINAL_SIZE, name="enlarged")(images)
    x = layers.Rescaling(1 / 255, name="scale")(layers.Concatenate(name="colour")([x, x, x]))
    for index, channels in enumerate(ORIGINAL_CHANNELS, start=1):
        x = layers.Conv2D(channels, 3, activation="relu", name=f"conv{index}")(x)
        x = layers.MaxPooling2D(name=f"pool{index}")(x)
    embedding = layers.Dense(512, activation="relu", name="embedding")(layers.Flatten(name="flat")(x))
    logits = layers.Dense(len(CLASSES), name="logits")(embedding)
    return _model(images, {"logits": logits, "embedding": embedding}, "original_cnn")


def mirror_averaged(model: "keras.Model") -> "keras.Model":
    """The network's answer to each image and its mirror image together: a head and its mirror image have one answer.

    The evidence of the cells is averaged, the mirror image's mirrored back, and pooled anew: the decision is still made
    from the map and from nothing else. Without cells the logits are averaged.
    """
    import keras

    images = _images(model.input_shape[1])
    both = model(keras.ops.concatenate([images, images[:, :, ::-1]], axis=0))
    means = {name: _mean_of_halves(both[name]) for name in ("logits", "embedding", "cells") if name in both}
    if "cells" in means:
        means |= _pooled_outputs(means["cells"])
    return _model(images, means, f"{model.name}_mirror_averaged")


def join_members(twin: "keras.Model", members: list["keras.Model"]) -> None:
    """Give a network of several members the weights of members that were trained alone.

    Raises:
        TrainingError: a layer is in no member.
    """
    trained = {layer.name: layer for member in members for layer in member.layers}
    for layer in twin.layers:
        if layer.weights and layer.name not in trained:
            raise TrainingError(f"No member of {twin.name!r} has the layer {layer.name!r}; give all of its members.")
        if layer.weights:
            layer.set_weights(trained[layer.name].get_weights())


def shift_evidence(model: "keras.Model", offsets: NDArray[np.floating[Any]]) -> None:
    """Add to the logits of each class, (4,), by the intercepts of the cells' evidence; nothing can be added to none.

    The logarithm of a sum of odds grows by what each of them is multiplied with, so that the map stays as it is.
    """
    tumours = np.delete(offsets, CLASSES.index("notumor"))
    for layer in model.layers:
        if layer.name.endswith(EVIDENCE):
            kernel, intercepts = layer.get_weights()
            layer.set_weights([kernel, intercepts + tumours.astype(intercepts.dtype)])


def _mean_of_halves(values: Any) -> Any:
    import keras

    plain, mirror = keras.ops.split(values, 2, axis=0)
    return (plain + (mirror[:, :, ::-1] if len(mirror.shape) == 4 else mirror)) / 2


def _images(input_size: int) -> Any:
    import keras

    return keras.Input((input_size, input_size, 1), dtype="uint8", name="images")


def _model(images: Any, outputs: dict[str, Any], name: str) -> "keras.Model":
    import keras

    return keras.Model(images, outputs, name=name)


def _compact_features(x: Any) -> Any:
    """Features (N, S/8, S/8, 96) of standardised images."""
    from keras import layers

    x = layers.ReLU(name="entry_relu")(_convolution(x, STAGES[0][0], "entry", kernel=7, strides=4))
    stages = []
    for stage, (channels, blocks) in enumerate(STAGES, start=1):
        for block in range(1, blocks + 1):
            halves = stage > 1 and block == 1
            x = _residual_block(x, channels, f"stage{stage}_block{block}", strides=2 if halves else 1)
        stages.append(x)
    return _joined(stages[-1], stages[-2], "head")


def _lite0_features(x: Any) -> Any:
    """Features (N, S/8, S/8, 96) of standardised images."""
    from keras import layers

    x = layers.Conv2D(LITE0_STEM, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(x)
    x = _lite_norm(x, "stem")
    stages, block = [], 0
    for kernel, stride, expansion, channels, repeats in LITE0_STAGES:
        for repeat in range(repeats):
            shape = (kernel, stride if repeat == 0 else 1, expansion, channels)
            x = _inverted_residual(x, shape, f"block{block}")
            block += 1
        stages.append(x)
    top = layers.ReLU(name="top_relu")(_convolution(stages[-1], HEAD_CHANNELS, "top", kernel=1))
    return _joined(top, stages[FINE_STAGE], "lite0_head")


def _joined(coarse: Any, fine: Any, name: str) -> Any:
    """The coarse features on the fine grid, with the fine ones added: (N, h, w, C) of the coarse one's channels.

    Lin et al. 2017 (arXiv:1612.03144).
    """
    from keras import layers

    channels, times = coarse.shape[-1], _cells_along(coarse, fine)
    enlarged = layers.UpSampling2D(times, interpolation="bilinear", name=f"{name}_enlarged")(coarse)
    lateral = _convolution(fine, channels, f"{name}_lateral", kernel=1)
    joined = layers.ReLU(name=f"{name}_joined_relu")(layers.Add(name=f"{name}_joined")([enlarged, lateral]))
    return layers.ReLU(name=f"{name}_relu")(_convolution(joined, channels, name))


def _cells_along(coarse: Any, fine: Any) -> int:
    """How many cells of the fine grid lie along one of the coarse grid."""
    return int(fine.shape[1] // coarse.shape[1])


def _standardised(images: Any) -> Any:
    """Each image with mean 0 and variance 1: scanners differ in gain and offset, and must not be told by them."""
    from keras import layers

    x = layers.Rescaling(1 / 255, name="scale")(images)
    # The usual epsilon of 0.001 would leave dark images darker: their variance is not much greater.
    return layers.LayerNormalization(axis=[1, 2, 3], epsilon=1e-5, center=False, scale=False, name="standardise")(x)


def _inverted_residual(x: Any, shape: tuple[int, int, int, int], name: str) -> Any:
    """Expand, convolve each channel, project (Sandler et al. 2018, arXiv:1801.04381)."""
    from keras import layers

    kernel, stride, expansion, channels = shape
    inner, before = x, int(x.shape[-1])
    if expansion > 1:
        inner = layers.Conv2D(before * expansion, 1, use_bias=False, name=f"{name}_expand_conv")(inner)
        inner = _lite_norm(inner, f"{name}_expand")
    inner = layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False, name=f"{name}_depth_conv")(inner)
    inner = _lite_norm(inner, f"{name}_depth")
    inner = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project_conv")(inner)
    inner = _lite_norm(inner, f"{name}_project", has_relu=False)
    return layers.Add(name=f"{name}_add")([x, inner]) if stride == 1 and before == channels else inner


def _lite_norm(x: Any, name: str, has_relu: bool = True) -> Any:
    from keras import layers

    x = layers.BatchNormalization(momentum=0.95, epsilon=1e-3, name=f"{name}_norm")(x)
    return layers.ReLU(6, name=f"{name}_relu")(x) if has_relu else x


def _evidence(features: Any, name: str) -> Any:
    """Each cell's log-odds of each tumour against none, (N, h, w, 3), from its features."""
    import keras
    from keras import layers

    start = keras.initializers.Constant(NO_EVIDENCE)
    dropped = layers.SpatialDropout2D(DROPOUT, name=f"{name}_dropout")(features)
    return layers.Conv2D(len(CLASSES) - 1, 1, bias_initializer=start, name=f"{name}{EVIDENCE}")(dropped)


def _outputs(evidence: Any, features: list[Any]) -> dict[str, Any]:
    """The outputs of every architecture with a map, and `cells`: the class scores (N, h, w, 4) of each cell."""
    import keras
    from keras import layers

    means = [keras.ops.mean(each, axis=(1, 2)) for each in features]
    joined = keras.ops.concatenate(means, axis=-1) if len(means) > 1 else means[0]
    cells = _with_no_tumour(evidence)
    return {"embedding": layers.Identity(name="embedding")(joined), "cells": cells, **_pooled_outputs(cells)}


def _pooled_outputs(cells: Any) -> dict[str, Any]:
    """Logits and map of the cells' scores: the image's odds of a tumour are the sum of its cells' odds.

    The map says which share of them each cell has. For no tumour, whose odds no cell adds to, it is the probability
    that the cell shows none, as a share of all cells.
    """
    import keras

    place = CLASSES.index("notumor")
    tumours = keras.ops.concatenate([cells[..., :place], cells[..., place + 1 :]], axis=-1)
    _, height, width, count = tumours.shape
    shares = keras.ops.softmax(keras.ops.reshape(tumours, (-1, height * width, count)), axis=1)
    shares = keras.ops.reshape(shares, (-1, height, width, count))
    none = keras.ops.softmax(cells, axis=-1)[..., place : place + 1] / (height * width)
    shown = keras.ops.concatenate([shares[..., :place], none, shares[..., place:]], axis=-1)
    return {"logits": _pooled(tumours), "activation_map": shown}


def _pooled(evidence: Any) -> Any:
    """Logits (N, 4) of the cells' log-odds (N, h, w, 3)."""
    import keras

    return _with_no_tumour(keras.ops.logsumexp(evidence, axis=(1, 2)))


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
