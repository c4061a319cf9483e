import numpy as np
import pandas as pd
import pytest

from brain_assets.asset_store import ImageSet
from brain_assets.ml.bundling import BundleInputs, Exported, images_known, manifest_of
from brain_assets.ml.metrics import evaluate
from brain_assets.ml.records import EvaluatedModel, TrainedModel
from brain_core.bundle import MODEL_FILE, Provenance
from tests.fixtures_bundle import tiny_gate


@pytest.fixture
def inputs() -> BundleInputs:
    model = TrainedModel(
        run_id="run", architecture="compact_cnn", input_size=32, temperature=1.5, set_threshold=0.2, coverage=0.95,
        started_from=None, data_version="data-1", provenance=Provenance(source="own", feedback=True), history=[],
    )  # fmt: skip
    judged = EvaluatedModel(run_id="run", metrics=evaluate(np.eye(4), np.arange(4), np.arange(4)))
    zeros = np.zeros(1, np.int64)
    test = ImageSet(np.zeros((1, 32, 32, 1), np.uint8), zeros, zeros, np.array(["a"]))
    return BundleInputs(model, b"weights", judged, test, pd.DataFrame(), pd.DataFrame(), tiny_gate())


def test_the_manifest_says_what_the_training_and_the_evaluation_found(inputs):
    manifest = manifest_of("7", inputs)
    assert (manifest.version, manifest.architecture, manifest.input_size) == ("7", "compact_cnn", 32)
    assert (manifest.temperature, manifest.set_threshold, manifest.coverage) == (1.5, 0.2, 0.95)
    assert (manifest.data_version, manifest.provenance.source, manifest.provenance.feedback) == ("data-1", "own", True)
    assert manifest.metrics["accuracy"]["value"] == 1.0


def test_the_size_of_the_graph_is_told_in_megabytes():
    assert Exported({MODEL_FILE: bytes(2_500_000)}, 0.0, 0.5).onnx_mb == 2.5


SPLITS = pd.DataFrame({"key": ["a", "t"], "label": "glioma", "group": [0, 1], "part": ["train", "test"]})
STATISTICS = pd.DataFrame({"key": ["a", "t"], "pixel_sha256": ["pixels a", "pixels t"], "thumbnail": [bytes(1024)] * 2})
FEEDBACK = pd.DataFrame(
    {
        "key": ["up/x", "up/y"],
        "label": "notumor",
        "pixel_sha256": ["pixels x", "pixels y"],
        "perceptual_hash": [bytes(16)] * 2,
        "is_used": [True, False],
    }
)


def test_a_bundle_knows_the_source_and_the_corrected_images_that_were_trained_on():
    known = images_known(SPLITS, STATISTICS, FEEDBACK).set_index("pixel_sha256")
    assert known["part"].to_dict() == {"pixels a": "train", "pixels t": "test", "pixels x": "train"}
    assert {len(one) for one in known["perceptual_hash"]} == {16}
    assert known.loc["pixels x", "source"] == "upload"


def test_a_bundle_knows_what_the_model_knew_that_it_started_from():
    before = pd.DataFrame(
        {"pixel_sha256": ["pixels a", "pixels t", "erased", "judged"], "part": ["train"] * 3 + ["test"]}
    )
    known = images_known(SPLITS, STATISTICS, FEEDBACK, before)
    trained = known.loc[known["part"] != "test", "pixel_sha256"].tolist()
    assert sorted(trained) == ["erased", "pixels a", "pixels t", "pixels x"]
    assert "judged" not in set(known["pixel_sha256"])


def test_without_corrections_only_the_source_is_known():
    assert len(images_known(SPLITS, STATISTICS)) == len(images_known(SPLITS, STATISTICS, FEEDBACK.iloc[:0])) == 2
