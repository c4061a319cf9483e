import keras
import numpy as np
import pytest

from brain_assets.ml.model import build_model
from brain_assets.ml.networks import join_members, mirror_averaged, shift_evidence
from brain_core.errors import TrainingError
from brain_core.labels import CLASSES
from tests.fixtures_model import textures

TUMOURS = [index for index, name in enumerate(CLASSES) if name != "notumor"]


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(1)
    return build_model("compact_cnn", input_size=32)


def answers(model: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in model(images, training=False).items()}


def test_a_head_and_its_mirror_image_have_one_answer_and_mirrored_maps(model):
    averaged, images = mirror_averaged(model), textures(8)[0]
    plain, mirror = answers(averaged, images), answers(averaged, images[:, :, ::-1].copy())
    np.testing.assert_allclose(plain["logits"], mirror["logits"], atol=1e-5)
    np.testing.assert_allclose(plain["activation_map"], mirror["activation_map"][:, :, ::-1], atol=1e-5)
    cells = [answers(model, images)["cells"], answers(model, images[:, :, ::-1].copy())["cells"][:, :, ::-1]]
    np.testing.assert_allclose(plain["cells"], np.mean(cells, axis=0), atol=1e-4)


def test_what_is_added_to_the_evidence_is_added_to_the_logits_and_leaves_the_map():
    model, images = build_model("twin_map", 32), textures(4)[0]
    before, offsets = answers(model, images), np.array([0.5, -1.0, 0.0, 2.0])
    shift_evidence(model, offsets)
    after = answers(model, images)
    np.testing.assert_allclose(after["logits"], before["logits"] + offsets, atol=1e-4)
    np.testing.assert_allclose(after["activation_map"][..., TUMOURS], before["activation_map"][..., TUMOURS], atol=1e-5)


def test_members_that_were_trained_alone_answer_together_as_they_did_alone(model):
    lite0, twin, images = build_model("lite0_map", 32), build_model("twin_map", 32), textures(4)[0]
    join_members(twin, [model, lite0])
    together, alone = answers(twin, images), {"compact": answers(model, images), "lite0": answers(lite0, images)}
    for name, member in alone.items():
        np.testing.assert_allclose(together[f"logits_{name}"], member["logits"], atol=1e-4)
    cells = [member["cells"] for member in alone.values()]
    np.testing.assert_allclose(together["cells"], np.mean(cells, axis=0), atol=1e-4)


def test_joining_without_a_member_names_a_layer_that_is_missing(model):
    with pytest.raises(TrainingError, match=r"No member of 'twin_map' has the layer '.*'; give all of its members"):
        join_members(build_model("twin_map", 32), [model])
