from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from brain_assets.ml import gate_fitting
from brain_assets.ml.gate_fitting import GateConfig, build_gate
from brain_assets.ml.gate_trees import TreeConfig
from brain_core.descriptors import detail, histogram, thumbnail
from brain_core.errors import TrainingError
from brain_core.gate import Gate
from brain_core.imaging import DecodedImage
from brain_core.labels import CLASSES
from tests.fixtures_bundle import drawn_slice

QUICK = GateConfig(fewest_negatives=120, other_heads=2, folds=2, trees=TreeConfig(count=30))


def slices(parts: list[str], copies: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Statistics and splits of drawn slices; so many after each other are copies of one group."""
    pictures = [drawn_slice(80 + 10 * (index // copies % 8), index // copies) for index in range(len(parts))]
    statistics = pd.DataFrame(
        {
            "key": [f"{index:03d}.png" for index in range(len(parts))],
            "label": [CLASSES[index % 4] for index in range(len(parts))],
            "histogram": [histogram(picture) for picture in pictures],
            "detail": [detail(picture).tobytes() for picture in pictures],
        }
    )
    groups = np.arange(len(parts)) // copies
    splits = statistics[["key", "label"]].assign(group=groups, part=parts, is_representative=True)
    return statistics, splits.assign(is_representative=~splits["group"].duplicated())


def decoded(grey: np.ndarray) -> DecodedImage:
    return DecodedImage(grey, 0.0, grey.shape[1], grey.shape[0], "PNG")


@pytest.fixture(scope="module")
def gate() -> Gate:
    return build_gate(*slices(["train"] * 30 + ["validation"] * 10), QUICK)


def test_the_gate_passes_slices_that_it_never_saw_and_refuses_other_pictures(gate):
    unseen = [drawn_slice(brightness, seed) for brightness in (85, 115, 145) for seed in range(60, 65)]
    assert all(gate.check(decoded(grey)).is_valid for grey in unseen)
    rng = np.random.default_rng(0)
    page = np.where(rng.random((160, 160)) < 0.1, 20, 245).astype(np.uint8)
    ramp = np.tile(np.arange(160, dtype=np.uint8), (160, 1))
    squares = (np.indices((160, 160)).sum(axis=0) // 20 % 2 * 255).astype(np.uint8)
    for other in (page, ramp, squares, 255 - drawn_slice(100, 1), np.zeros((160, 160), np.uint8)):
        decision = gate.check(decoded(other))
        assert not decision.is_valid
        assert decision.reason is not None


def test_fitting_again_gives_the_same_gate(gate):
    again = build_gate(*slices(["train"] * 30 + ["validation"] * 10), QUICK)
    assert again.threshold == gate.threshold
    assert again.to_bytes() == gate.to_bytes()


def test_the_gate_knows_one_image_a_training_group_and_no_other():
    statistics, splits = slices(["train"] * 12 + ["validation"] * 4 + ["test"] * 4, copies=2)
    known = build_gate(statistics, splits, QUICK).known
    representative = statistics["histogram"][splits["is_representative"] & (splits["part"] == "train")]
    expected = np.stack(representative.tolist()).astype(np.float16)
    assert sorted(map(bytes, known.histograms)) == sorted(map(bytes, expected))


def test_the_gate_knows_no_more_images_than_it_may():
    config = GateConfig(fewest_negatives=60, other_heads=1, trees=TreeConfig(count=5), known_images=3)
    known = build_gate(*slices(["train"] * 10), config).known
    assert {len(bank) for bank in vars(known).values()} == {3}


def test_test_images_have_no_say():
    parts = ["train"] * 16 + ["validation"] * 4
    statistics, splits = slices([*parts, *["test"] * 6])
    without = slices(parts)
    assert build_gate(statistics, splits, QUICK).to_bytes() == build_gate(*without, QUICK).to_bytes()


def test_known_tomograms_are_neither_known_images_nor_examples_of_what_passes(monkeypatch):
    statistics, splits = slices(["train"] * 30 + ["validation"] * 10)
    is_ct = statistics["key"].isin(["004.png", "007.png"]).to_numpy()
    monkeypatch.setattr(gate_fitting, "is_tomogram", lambda table: is_ct[: len(table)])
    gate = build_gate(statistics, splits, replace(QUICK, tomogram_copies=4))
    stored = {bytes(row) for row in gate.known.thumbnails}
    assert len(stored) == 28
    fines = np.stack([np.frombuffer(row, np.uint8).reshape(64, 64) for row in statistics["detail"][is_ct]])
    assert not stored & {bytes(thumbnail(fine, fine)) for fine in fines}


def test_the_threshold_lies_lower_when_fewer_images_may_be_refused():
    table = slices(["train"] * 16 + ["validation"] * 10)
    configs = (replace(QUICK, refused=share, refused_strongly=share) for share in (0.0, 0.5))
    strict, lax = (build_gate(*table, config) for config in configs)
    assert strict.threshold < lax.threshold
    np.testing.assert_array_equal(strict.trees.value, lax.trees.value)


def test_a_set_without_validation_images_has_a_gate():
    gate = build_gate(*slices(["train"] * 30), QUICK)
    assert gate.check(decoded(drawn_slice(100, 70))).is_valid


def test_images_of_a_single_patient_have_a_gate():
    statistics, splits = slices(["train"] * 6)
    gate = build_gate(statistics, splits.assign(component=0), QUICK)
    assert 0 < gate.threshold < 1


def test_without_training_images_there_is_no_gate():
    with pytest.raises(TrainingError, match="training images"):
        build_gate(*slices(["validation"] * 4))
