import keras
import numpy as np
import pytest

from brain_assets.ml.export import WeightsRecipe, calibrated_model
from brain_assets.ml.model import ARCHITECTURES, BASELINE, build_model, load_weights, weights_bytes
from brain_core.errors import TrainingError
from brain_core.imaging import MODEL_SIZE
from brain_core.labels import CLASSES
from tests.fixtures_model import textures

TUMOURS = [index for index, name in enumerate(CLASSES) if name != "notumor"]


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(1)
    return build_model("compact_cnn", input_size=32)


def answers(model: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in model(images, training=False).items()}


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES.keys() - {BASELINE}))
def test_every_architecture_takes_the_models_input_and_gives_the_three_outputs(architecture):
    model = build_model(architecture)
    assert model.input_shape == (None, MODEL_SIZE, MODEL_SIZE, 1)
    assert (model.inputs[0].name, model.inputs[0].dtype) == ("images", "uint8")
    assert model.output["logits"].shape == (None, 4)
    assert len(model.output["embedding"].shape) == 2
    height, width, classes = model.output["activation_map"].shape[1:]
    assert classes == 4
    assert min(height, width) >= 8
    assert model.count_params() <= 1_400_000


def test_the_baseline_is_the_replaced_systems_network_and_has_no_map():
    model = build_model(BASELINE)
    assert model.count_params() == 9_699_908
    assert set(model.output) == {"logits", "embedding"}
    with pytest.raises(TrainingError, match="baseline, never exported"):
        calibrated_model(weights_bytes(model), WeightsRecipe(BASELINE, MODEL_SIZE, 1.0))


def test_the_decision_is_made_from_the_map_and_from_nothing_else(model):
    found = answers(model, textures(8)[0])
    odds = np.exp(found["cells"]).sum(axis=(1, 2))
    np.testing.assert_allclose(found["logits"][:, TUMOURS], np.log(odds[:, TUMOURS]), atol=1e-4)
    assert np.all(found["logits"][:, CLASSES.index("notumor")] == 0)


def test_the_map_is_the_share_of_each_cell_in_the_odds_of_the_image(model):
    found = answers(model, textures(8)[0])
    odds = np.exp(found["cells"][..., TUMOURS])
    np.testing.assert_allclose(
        found["activation_map"][..., TUMOURS], odds / odds.sum(axis=(1, 2), keepdims=True), atol=1e-5
    )
    np.testing.assert_allclose(found["activation_map"][..., TUMOURS].sum(axis=(1, 2)), 1, atol=1e-4)


def test_the_map_of_no_tumour_is_least_where_a_tumour_is_likeliest(model):
    found = answers(model, textures(8)[0])
    none = found["activation_map"][..., CLASSES.index("notumor")].reshape(8, -1)
    likeliest = np.exp(found["cells"][..., TUMOURS]).sum(axis=-1).reshape(8, -1).argmax(axis=1)
    np.testing.assert_array_equal(none.argmin(axis=1), likeliest)
    assert (none.sum(axis=1) <= 1 + 1e-4).all()


def test_a_fresh_model_sees_a_tumour_nowhere(model):
    assert (answers(model, textures(8)[0])["cells"][..., TUMOURS] < 0).mean() > 0.9


def test_gain_and_offset_of_the_scanner_do_not_change_the_answer(model):
    images = textures(8)[0] // 4 * 4
    other_scanner = images // 4 + 20
    np.testing.assert_allclose(answers(model, images)["logits"], answers(model, other_scanner)["logits"], atol=2e-2)


def test_a_black_image_has_an_answer(model):
    assert np.isfinite(answers(model, np.zeros((1, 32, 32, 1), np.uint8))["logits"]).all()


def test_an_unknown_architecture_is_named_with_those_there_are():
    with pytest.raises(TrainingError, match=r"'lenet'.*compact_cnn"):
        build_model("lenet")


def test_weights_make_the_same_model_again(model):
    images = textures(4)[0]
    again = build_model("compact_cnn", input_size=32)
    assert not np.allclose(answers(again, images)["logits"], answers(model, images)["logits"])
    load_weights(again, weights_bytes(model))
    np.testing.assert_array_equal(answers(again, images)["logits"], answers(model, images)["logits"])


def test_damaged_weights_are_refused(model):
    weights = weights_bytes(model)
    for damaged in (b"", b"not HDF5", weights[: len(weights) // 2]):
        with pytest.raises(TrainingError, match="do not fit"):
            load_weights(build_model("compact_cnn", input_size=32), damaged)


def test_weights_of_another_architecture_are_refused(model):
    images = keras.Input((32, 32, 1), dtype="uint8")
    other = keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(images)), name="other")
    with pytest.raises(TrainingError, match="'other'"):
        load_weights(other, weights_bytes(model))
