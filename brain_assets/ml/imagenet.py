"""ImageNet initialisation: the weights that a network starts from when it does not start from scratch.

The product carries them as plain arrays (`pretrained/imagenet_lite0.npz`, Apache-2.0, see pretrained/README.md): no
checkpoint of another framework is read and nothing is downloaded.
"""

from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

from brain_core.errors import TrainingError

if TYPE_CHECKING:
    import keras

IMAGENET_FILE = Path(__file__).parents[1] / "pretrained" / "imagenet_lite0.npz"


def initialise(model: "keras.Model", file: Path = IMAGENET_FILE) -> int:
    """Set the weights of the layers that the file knows by name; all others keep theirs.

    Args:
        model: a network with the trunk of `networks.lite0_map`, freshly built.
        file: arrays named `<layer>/<index>`, float16, in the order of the layer's weights.

    Returns:
        How many layers were set.

    Raises:
        TrainingError: the file is missing or damaged, or knows no layer of this network.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            known = {name: arrays[name].astype(np.float32) for name in arrays.files}
    except (OSError, ValueError, BadZipFile) as exc:
        raise TrainingError(f"The ImageNet weights {file.name} cannot be read: {exc}. Reinstall the product.") from exc
    layers = [layer for layer in model.layers if f"{layer.name}/0" in known]
    if not layers:
        raise TrainingError(f"The ImageNet weights know no layer of the network {model.name!r}; start from scratch.")
    for layer in layers:
        layer.set_weights([known[f"{layer.name}/{index}"] for index in range(len(layer.weights))])
    return len(layers)
