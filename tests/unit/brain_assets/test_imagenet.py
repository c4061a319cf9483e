import numpy as np
import pytest

from brain_assets.ml.imagenet import IMAGENET_FILE, initialise
from brain_assets.ml.model import build_model
from brain_core.errors import TrainingError


def test_every_layer_of_the_trunk_starts_from_imagenet_and_the_head_does_not():
    model = build_model("lite0_map", 64)
    before = {layer.name: layer.get_weights() for layer in model.layers}
    count = initialise(model)
    changed = {
        layer.name
        for layer in model.layers
        if any((old != new).any() for old, new in zip(before[layer.name], layer.get_weights(), strict=True))
    }
    assert len(changed) == count
    untouched = {layer.name for layer in model.layers if layer.weights} - changed
    assert untouched == {
        "top_conv", "top_norm", "lite0_head_lateral_conv", "lite0_head_lateral_norm", "lite0_head_conv",
        "lite0_head_norm", "lite0_head_evidence",
    }  # fmt: skip


def test_of_a_twin_the_one_member_starts_from_imagenet():
    assert initialise(build_model("twin_map", 64)) == initialise(build_model("lite0_map", 64))


def test_another_network_is_refused():
    with pytest.raises(TrainingError, match="compact_cnn"):
        initialise(build_model("compact_cnn", 64))


def test_a_missing_or_damaged_file_is_told(tmp_path):
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(IMAGENET_FILE.read_bytes()[:1000])
    for file in (tmp_path / "missing.npz", damaged):
        with pytest.raises(TrainingError, match="cannot be read"):
            initialise(build_model("lite0_map", 64), file)


def test_the_arrays_are_plain_numbers():
    with np.load(IMAGENET_FILE, allow_pickle=False) as arrays:
        assert {arrays[name].dtype for name in arrays.files} == {np.dtype(np.float16)}
