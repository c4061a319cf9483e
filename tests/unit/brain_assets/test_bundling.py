import numpy as np
import pandas as pd
import pytest

from brain_assets.asset_store import ImageSet
from brain_assets.ml.bundling import BundleInputs, Exported, manifest_of
from brain_assets.ml.metrics import evaluate
from brain_assets.ml.records import EvaluatedModel, TrainedModel
from brain_core.bundle import MODEL_FILE, Provenance


@pytest.fixture
def inputs() -> BundleInputs:
    model = TrainedModel(
        run_id="run", architecture="compact_cnn", input_size=32, temperature=1.5, set_threshold=0.2, coverage=0.95,
        started_from=None, data_version="data-1", provenance=Provenance(source="own", feedback=True), history=[],
    )  # fmt: skip
    judged = EvaluatedModel(run_id="run", metrics=evaluate(np.eye(4), np.arange(4), np.arange(4)))
    zeros = np.zeros(1, np.int64)
    test = ImageSet(np.zeros((1, 32, 32, 1), np.uint8), zeros, zeros, np.array(["a"]))
    return BundleInputs(model, b"weights", judged, test, pd.DataFrame(), pd.DataFrame())


def test_the_manifest_says_what_the_training_and_the_evaluation_found(inputs):
    manifest = manifest_of("7", inputs)
    assert (manifest.version, manifest.architecture, manifest.input_size) == ("7", "compact_cnn", 32)
    assert (manifest.temperature, manifest.set_threshold, manifest.coverage) == (1.5, 0.2, 0.95)
    assert (manifest.data_version, manifest.provenance.source, manifest.provenance.feedback) == ("data-1", "own", True)
    assert manifest.metrics["accuracy"]["value"] == 1.0


def test_the_size_of_the_graph_is_told_in_megabytes():
    assert Exported({MODEL_FILE: bytes(2_500_000)}, 0.0, 0.5).onnx_mb == 2.5
