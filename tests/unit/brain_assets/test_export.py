import io

import numpy as np
import pandas as pd
import pytest

from brain_assets.ml.export import (
    GATE_MARGIN,
    MAX_GATE_IMAGES,
    WEIGHTS_FILE,
    WeightsRecipe,
    build_gate,
    bundle_contents,
    bundle_files,
    calibrated_model,
    export_onnx,
    parity,
    predict_in_batches,
    reference_table,
)
from brain_assets.ml.publishing import upload_bundle
from brain_assets.ml.training import softmax
from brain_core.bundle import MANIFEST_FILE, SPLIT_FILE, Manifest, OnnxSession, Provenance, load_bundle, sha256
from brain_core.descriptors import DESCRIPTOR_NAMES, describe, histogram, thumbnail
from brain_core.errors import BundleError, TrainingError
from brain_core.imaging import decode, encode_png
from brain_core.labels import CLASSES
from brain_core.storage import model_key
from tests.fixtures_bundle import drawn_slice
from tests.fixtures_model import SIZE, textures

TEMPERATURE = 1.7
RECIPE = WeightsRecipe("compact_cnn", SIZE, TEMPERATURE)


@pytest.fixture(scope="module")
def model(quick_training):
    return calibrated_model(quick_training.trained.weights, RECIPE)


@pytest.fixture(scope="module")
def onnx(model) -> bytes:
    return export_onnx(model, SIZE)


@pytest.fixture(scope="module")
def session(onnx) -> OnnxSession:
    return OnnxSession(onnx)


def slices(parts: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Statistics and splits of drawn slices, each a group of its own."""
    rows = []
    for index in range(len(parts)):
        image = decode(encode_png(drawn_slice(80 + 10 * (index % 8), index)))
        pictures = {"histogram": histogram(image.grey), "thumbnail": thumbnail(image.grey).tobytes()}
        rows.append({"key": f"{index}.png", "label": CLASSES[index % 4], **describe(image).as_dict(), **pictures})
    statistics = pd.DataFrame(rows)
    splits = statistics[["key", "label"]].assign(group=range(len(parts)), part=parts, is_representative=True)
    return statistics, splits


def test_the_graph_answers_as_keras_does(model, session):
    assert parity(model, session, textures(70, seed=9)[0]) < 1e-4


def test_parity_tells_when_the_graph_is_of_another_model(quick_training, session):
    warmer = calibrated_model(quick_training.trained.weights, WeightsRecipe("compact_cnn", SIZE, 4.0))
    assert parity(warmer, session, textures(8)[0]) > 1e-3


def test_probabilities_are_the_softmax_of_the_tempered_evidence(model, session):
    images = textures(8)[0]
    probabilities, _, activation_map = session.run(images)
    none = CLASSES.index("notumor")
    odds = (activation_map / activation_map[..., none : none + 1]).sum(axis=(1, 2))
    odds[:, none] = 1
    logits = np.log(odds)
    np.testing.assert_allclose(probabilities, softmax(logits / TEMPERATURE), atol=1e-4)


@pytest.mark.parametrize("count", [1, 3, 130])
def test_the_graph_takes_any_number_of_images(session, count):
    images = textures(count)[0]
    probabilities, embeddings = predict_in_batches(session, images)
    assert probabilities.shape == (count, 4)
    assert embeddings.shape[0] == count
    np.testing.assert_allclose(probabilities[0], session.run(images[:1])[0][0], atol=1e-5)


def test_damaged_weights_are_refused():
    with pytest.raises(TrainingError, match="do not fit"):
        calibrated_model(b"damaged", RECIPE)


def test_the_gate_passes_validation_images_and_knows_training_images_only():
    statistics, splits = slices(["train"] * 12 + ["validation"] * 6 + ["test"] * 6)
    gate = build_gate(statistics, splits)
    assert len(gate.thumbnails) == len(gate.histograms) == 12
    known = {picture.tobytes() for picture in gate.thumbnails}
    assert known == set(statistics["thumbnail"][:12])
    for picture in statistics["thumbnail"][12:]:
        assert gate.score(np.frombuffer(picture, np.uint8).reshape(32, 32)) >= gate.threshold
    checkerboard = (np.indices((32, 32)).sum(axis=0) // 4 % 2 * 255).astype(np.uint8)
    assert gate.score(checkerboard) < gate.threshold


def test_the_gates_threshold_is_just_below_the_least_score_of_a_small_validation_set():
    statistics, splits = slices(["train"] * 12 + ["validation"] * 3)
    gate = build_gate(statistics, splits)
    pictures = [np.frombuffer(picture, np.uint8).reshape(32, 32) for picture in statistics["thumbnail"][12:]]
    assert gate.threshold == pytest.approx(min(map(gate.score, pictures)) - GATE_MARGIN, abs=0.01)


def test_the_gate_knows_one_image_a_group_and_not_more_than_its_limit():
    statistics, splits = slices(["train"] * 6 + ["validation"] * 2)
    splits["is_representative"] = [True, False, True, False, True, False, True, True]
    assert len(build_gate(statistics, splits).thumbnails) == 3
    many = pd.concat([statistics.assign(key=statistics["key"] + str(n)) for n in range(300)], ignore_index=True)
    parts = pd.concat([splits.assign(key=splits["key"] + str(n), is_representative=True) for n in range(300)])
    gate = build_gate(many, parts, seed=1)
    assert len(gate.thumbnails) == MAX_GATE_IMAGES
    np.testing.assert_array_equal(gate.thumbnails, build_gate(many, parts, seed=1).thumbnails)


def test_the_reference_keeps_the_order_of_the_keys_and_says_what_drift_compares():
    statistics, _ = slices(["test"] * 3)
    probabilities = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.2, 0.6, 0.1]], np.float32)
    table = reference_table(statistics, np.array(["2.png", "0.png"]), probabilities, np.ones((2, 5), np.float32))
    assert table["key"].tolist() == ["2.png", "0.png"]
    assert table["predicted_class"].tolist() == ["glioma", "notumor"]
    assert table["confidence"].tolist() == pytest.approx([0.7, 0.6])
    assert table["brightness"].tolist() == statistics["brightness"].iloc[[2, 0]].tolist()
    assert {*DESCRIPTOR_NAMES, *(f"p_{name}" for name in CLASSES), "embedding", "label"} <= set(table.columns)


def test_a_bundle_verifies_loads_and_names_what_was_altered(bucket, onnx, quick_training):
    statistics, splits = slices(["train"] * 4 + ["validation"] * 2)
    weights, gate = quick_training.trained.weights, build_gate(statistics, splits)
    contents = bundle_contents(onnx, weights, gate, splits, splits)
    files = bundle_files(contents, manifest("7"))
    assert Manifest.model_validate_json(files[MANIFEST_FILE]).sha256[WEIGHTS_FILE] == sha256(weights)
    assert pd.read_parquet(io.BytesIO(files[SPLIT_FILE])).equals(splits)
    upload_bundle(bucket, "7", files)
    loaded = load_bundle(bucket, "7")
    assert loaded.gate.threshold == gate.threshold
    assert len(loaded.predict(textures(2)[0])) == 2
    bucket.write(model_key("7", SPLIT_FILE), b"altered")
    with pytest.raises(BundleError, match=SPLIT_FILE):
        load_bundle(bucket, "7")


def manifest(version: str) -> Manifest:
    return Manifest(
        version=version,
        created_at="2026-11-01T00:00:00Z",
        input_size=SIZE,
        temperature=TEMPERATURE,
        uncertain_below=0.5,
        data_version="drawn",
        code_version="test",
        metrics={},
        provenance=Provenance(source="sample", feedback=False),
        sha256={},
    )
