"""From trained weights to the files of an inference bundle."""

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_assets.ml.model import build_model, load_weights
from brain_assets.ml.networks import mirror_averaged
from brain_assets.ml.phantoms import draw_slice
from brain_assets.shards import ImageArray
from brain_core.bundle import (
    GATE_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    REFERENCE_FILE,
    SPLIT_FILE,
    Manifest,
    OnnxSession,
    sha256,
)
from brain_core.descriptors import DESCRIPTOR_NAMES
from brain_core.errors import TrainingError
from brain_core.gate import Gate
from brain_core.golden import Golden
from brain_core.imaging import resize
from brain_core.labels import CLASSES

if TYPE_CHECKING:
    import keras

WEIGHTS_FILE = "model.weights.h5"
BATCH = 64
GOLDEN_SEED = 7_919
"""Draws slices that are in no sample."""

GOLDEN_PIXELS = 224
"""No drawn slice is smaller, and an array holds pictures of one size."""


@dataclass(frozen=True)
class WeightsRecipe:
    """What is needed beside the weights to make the network again.

    Attributes:
        architecture: a name of `model.ARCHITECTURES`.
        input_size: height and width of the images in pixels.
        temperature: divides the logits before the softmax.
    """

    architecture: str
    input_size: int
    temperature: float


def calibrated_model(weights: bytes, recipe: WeightsRecipe) -> "keras.Model":
    """A Keras model with the outputs of a bundle: probabilities, embedding, activation_map.

    Raises:
        TrainingError: the weights are damaged, of another architecture, or of the baseline, which is never exported.
    """
    import keras

    plain = build_model(recipe.architecture, recipe.input_size)
    load_weights(plain, weights)
    if "activation_map" not in plain.output:
        raise TrainingError(f"The network {recipe.architecture!r} has no class map: it is a baseline, never exported.")
    model = mirror_averaged(plain)
    scaled = keras.layers.Rescaling(1.0 / recipe.temperature, name="temperature")(model.output["logits"])
    outputs = {
        "probabilities": keras.layers.Softmax(name="probabilities")(scaled),
        "embedding": keras.layers.Identity(name="embedding")(model.output["embedding"]),
        "activation_map": keras.layers.Identity(name="activation_map")(model.output["activation_map"]),
    }
    return keras.Model(model.input, outputs)


def export_onnx(model: "keras.Model", input_size: int) -> bytes:
    """An ONNX graph of a calibrated model, for any batch size.

    Args:
        model: as `calibrated_model` makes it.
        input_size: height and width of the images in pixels.
    """
    # Keras refuses to export a model that was never called.
    model(np.zeros((1, input_size, input_size, 1), np.uint8))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL_FILE
        model.export(str(path), format="onnx", verbose=False)
        return path.read_bytes()


def predict_in_batches(session: OnnxSession, images: ImageArray) -> tuple[NDArray[Any], NDArray[Any]]:
    """Probabilities float32 (N, 4) and embeddings float32 (N, E) of uint8 (N, S, S, 1)."""
    parts = [session.run(images[start : start + BATCH])[:2] for start in range(0, len(images), BATCH)]
    return np.concatenate([p for p, _ in parts]), np.concatenate([e for _, e in parts])


def parity(model: "keras.Model", session: OnnxSession, images: NDArray[np.uint8]) -> float:
    """Largest absolute difference between Keras' and ONNX' probabilities."""
    # Called as it is: `predict` would first make a graph, for these few images.
    expected = np.asarray(model(images)["probabilities"])
    return float(np.abs(expected - predict_in_batches(session, images)[0]).max())


def golden_answers(session: OnnxSession, input_size: int) -> Golden:
    """What the model says of a drawn slice of each class, so that a server can tell whether it still says so."""
    drawn = (draw_slice(index, GOLDEN_SEED) for index in range(len(CLASSES)))
    pictures = np.stack([picture[:GOLDEN_PIXELS, :GOLDEN_PIXELS] for picture in drawn])
    tensors = np.stack([resize(picture, input_size)[..., np.newaxis] for picture in pictures])
    return Golden(pictures, session.run(tensors)[0])


def reference_table(
    statistics: pd.DataFrame, keys: NDArray[np.str_], probabilities: NDArray[Any], embeddings: NDArray[Any]
) -> pd.DataFrame:
    """Descriptors, answers and embeddings of the images at `keys`, in their order."""
    described = statistics.set_index("key").loc[list(keys), ["label", *DESCRIPTOR_NAMES]].reset_index()
    answers = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in CLASSES])
    answers["predicted_class"] = [CLASSES[index] for index in probabilities.argmax(axis=-1)]
    answers["confidence"] = probabilities.max(axis=-1)
    answers["embedding"] = list(embeddings)
    return pd.concat([described, answers], axis=1)


def bundle_files(contents: dict[str, bytes], manifest: Manifest) -> dict[str, bytes]:
    """All files of a bundle: the contents and a manifest that holds the hash of each."""
    hashed = manifest.model_copy(update={"sha256": {name: sha256(data) for name, data in contents.items()}})
    return {**contents, MANIFEST_FILE: hashed.model_dump_json(indent=2).encode()}


def bundle_contents(
    onnx: bytes, weights: bytes, gate: Gate, splits: pd.DataFrame, reference: pd.DataFrame
) -> dict[str, bytes]:
    """The files beside the manifest; the Keras weights let a retraining start from this model."""
    return {
        MODEL_FILE: onnx,
        WEIGHTS_FILE: weights,
        GATE_FILE: gate.to_bytes(),
        SPLIT_FILE: _parquet(splits),
        REFERENCE_FILE: _parquet(reference),
    }


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
