"""A judged model whose answers are known: drawn images, a box on each tumour, maps that point at some of them."""

import numpy as np
import pandas as pd

from brain_assets.asset_store import ImageSet
from brain_assets.ml.evaluation import Answers, JudgedModel, Predictor, judge
from brain_assets.ml.image_facts import KnownImages
from brain_assets.ml.records import TrainedModel
from brain_core.bundle import Provenance
from brain_core.labels import CLASSES
from brain_core.storage import LocalBucket

SIZE = 32
CELLS = 8
BOX = (0.0, 0.0, 0.5, 0.5)
PLANES = ("axial", None)


def drawn_images(count: int = 16, copies: int = 2) -> ImageSet:
    """`copies` of each of `count` images, the classes in turn; the grey value of the first pixel is the label."""
    labels = np.repeat(np.arange(count) % len(CLASSES), copies)
    images = np.random.default_rng(0).integers(50, 200, (len(labels), SIZE, SIZE, 1), dtype=np.uint8)
    images[:, 0, 0, 0] = images[:, 0, -1, 0] = labels
    boxes = np.where((labels == 2)[:, np.newaxis], np.nan, BOX).astype(np.float32)
    keys = np.array([f"data/{index:03}.png" for index in range(len(labels))])
    return ImageSet(images, labels.astype(np.int64), np.repeat(np.arange(count), copies), keys, boxes)


def known_images(test: ImageSet, **columns: object) -> KnownImages:
    """Tables about the test images; two groups each are one patient."""
    table = pd.DataFrame({"key": test.keys, "label": [CLASSES[label] for label in test.labels], "group": test.groups})
    table = table.assign(part="test", component=test.groups // 2, source="own", **columns)
    table["is_representative"] = ~table["group"].duplicated()
    planes = [PLANES[group % 2] for group in test.groups]
    manifest = pd.DataFrame({"key": test.keys, "published_split": ""})
    return KnownImages(table, manifest, pd.DataFrame({"key": test.keys, "plane": planes}))


def predictor(wrong: tuple[int, ...] = (), confidence: float = 0.9, has_map: bool = True) -> Predictor:
    """Reads the label from the first pixel, is wrong about some classes, and points at the upper left."""

    def predict(images: np.ndarray) -> Answers:
        labels = images[:, 0, 0, 0].astype(np.int64)
        said = np.where(np.isin(labels, wrong), (labels + 1) % len(CLASSES), labels)
        probabilities = np.full((len(labels), len(CLASSES)), (1 - confidence) / 3, np.float32)
        probabilities[np.arange(len(labels)), said] = confidence
        maps = np.zeros((len(labels), CELLS, CELLS), np.float32)
        maps[:, 1, 2] = 1
        return Answers(probabilities, maps if has_map else None)

    return predict


def judged_model(bucket: LocalBucket, wrong: tuple[int, ...] = (), has_map: bool = True) -> JudgedModel:
    """The judgement of such a model on such images."""
    test = drawn_images()
    return judge(predictor(wrong, has_map=has_map), test, known_images(test), bucket)


def trained_record(source: str = "own", run_id: str = "r") -> TrainedModel:
    """The record of a training that never was."""
    return TrainedModel(
        run_id=run_id,
        architecture="compact_cnn",
        input_size=SIZE,
        temperature=1.5,
        set_threshold=0.3,
        coverage=0.95,
        started_from=None,
        data_version="d1",
        provenance=Provenance.model_validate({"source": source, "feedback": False}),
        history=[{"epoch": 1.0}],
    )
