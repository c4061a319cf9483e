"""Decode and predict, as every contestant does it: Pillow and ONNX Runtime, nothing of this project.

The model's file, its input size and the threads come from the environment, for each contestant starts its processes in
its own way.
"""

import io
import os
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image


class Judge:
    """A loaded model that takes the bytes of an image."""

    def __init__(self, model: str | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["BENCH_THREADS"])
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = model or os.environ["BENCH_MODEL"]
        self._size = int(os.environ["BENCH_INPUT_SIZE"])
        self._classes = os.environ["BENCH_CLASSES"].split(",")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def __call__(self, data: bytes) -> dict[str, Any]:
        """Class and probabilities of one JPEG or PNG."""
        grey = Image.open(io.BytesIO(data)).convert("L")
        pixels = np.asarray(grey.resize((self._size, self._size), Image.Resampling.BILINEAR))
        (probabilities,) = self._session.run(["probabilities"], {"images": pixels[np.newaxis, ..., np.newaxis]})
        values = probabilities[0].tolist()
        return {
            "predicted_class": self._classes[max(range(len(values)), key=values.__getitem__)],
            "probabilities": dict(zip(self._classes, values, strict=True)),
        }
