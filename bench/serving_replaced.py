"""The replaced system's way to answer one upload, in a process of its own.

    python bench/serving_replaced.py HISTOGRAMS.npy IMAGE…

As its code did it: the histogram of the upload is compared with every stored histogram in a loop, its network predicts
in Keras, and LIME (quickshift, 100 perturbed copies, predicted one at a time) explains. The weights are random, which
costs the same. Prints a JSON line: seconds of each image, of the first one on; what is loaded once is not counted.
"""

import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from explanation import LimeExplainer
from numpy.typing import NDArray
from PIL import Image

from brain_assets.ml.model import BASELINE, build_model

INPUT_SIZE = 224
"""Of the replaced system; its images were in colour, its network here repeats the grey channel."""

THRESHOLD = 0.7


def main() -> None:
    """Answer each image as an upload."""
    histograms = np.load(sys.argv[1])
    model = build_model(BASELINE, INPUT_SIZE)
    explainer = LimeExplainer(lambda copies: model.predict(copies, verbose=0)["logits"], batch_size=1)
    model.predict(np.zeros((1, INPUT_SIZE, INPUT_SIZE, 1), np.uint8), verbose=0)
    seconds = []
    for path in map(Path, sys.argv[2:]):
        data = path.read_bytes()
        begun = time.perf_counter()
        answer(data, histograms, model, explainer)
        seconds.append(time.perf_counter() - begun)
    print(json.dumps(seconds))


def answer(data: bytes, histograms: NDArray[np.floating], model: Any, explainer: LimeExplainer) -> None:
    """Everything between upload and answer."""
    image = Image.open(io.BytesIO(data)).convert("L")
    upload = np.bincount(np.asarray(image).ravel(), minlength=256).astype(np.float32)
    for stored in histograms:
        np.corrcoef(upload, stored)[0, 1] > THRESHOLD  # noqa: B015 - the loop went on to the end
    pixels = np.asarray(image.resize((INPUT_SIZE, INPUT_SIZE)), np.uint8)[..., np.newaxis]
    label = int(model.predict(pixels[np.newaxis], verbose=0)["logits"].argmax())
    explainer.explain(pixels, label)


if __name__ == "__main__":
    main()
