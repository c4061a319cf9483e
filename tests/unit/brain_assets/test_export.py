import io

import numpy as np
import pandas as pd
import pytest

from brain_assets.ml.confidence import softmax
from brain_assets.ml.export import (
    WEIGHTS_FILE,
    WeightsRecipe,
    bundle_contents,
    bundle_files,
    calibrated_model,
    export_onnx,
    golden_answers,
    parity,
    predict_in_batches,
    reference_table,
)
from brain_assets.ml.model import build_model, load_weights
from brain_assets.ml.networks import mirror_averaged
from brain_assets.ml.publishing import upload_bundle
from brain_core.bundle import MANIFEST_FILE, SPLIT_FILE, Manifest, OnnxSession, Provenance, load_bundle, sha256
from brain_core.descriptors import DESCRIPTOR_NAMES, describe, histogram, thumbnail
from brain_core.errors import BundleError, TrainingError
from brain_core.imaging import decode, encode_png
from brain_core.labels import CLASSES
from brain_core.storage import model_key
from tests.fixtures_bundle import SIZE as TINY_SIZE
from tests.fixtures_bundle import drawn_slice, tiny_gate, tiny_model
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


def test_probabilities_are_the_softmax_of_the_tempered_evidence(quick_training, session):
    images = textures(8)[0]
    plain = build_model("compact_cnn", SIZE)
    load_weights(plain, quick_training.trained.weights)
    logits = mirror_averaged(plain).predict(images, verbose=0)["logits"]
    np.testing.assert_allclose(session.run(images)[0], softmax(logits / TEMPERATURE), atol=1e-4)


def test_a_mirrored_image_has_the_same_answer_and_the_mirrored_map(session):
    images = textures(8)[0]
    plain, mirror = session.run(images), session.run(np.ascontiguousarray(images[:, :, ::-1]))
    np.testing.assert_allclose(plain[0], mirror[0], atol=1e-5)
    np.testing.assert_allclose(plain[2], mirror[2][:, :, ::-1], atol=1e-5)


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
    _, splits = slices(["train"] * 4 + ["validation"] * 2)
    weights, gate = quick_training.trained.weights, tiny_gate()
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
        set_threshold=0.5,
        data_version="drawn",
        code_version="test",
        metrics={},
        provenance=Provenance(source="sample", feedback=False),
        sha256={},
    )


def test_the_golden_answers_are_those_of_the_model_to_drawn_slices():
    session = OnnxSession(tiny_model())
    golden = golden_answers(session, TINY_SIZE)
    assert golden.shape == (len(CLASSES), len(CLASSES))
    assert np.allclose(golden.probabilities.sum(axis=1), 1, atol=1e-5)
    assert len({picture.tobytes() for picture in golden.pictures}) == len(CLASSES)
    again = golden_answers(session, TINY_SIZE)
    assert np.array_equal(again.pictures, golden.pictures)
    assert len(golden.to_bytes()) < 400_000
