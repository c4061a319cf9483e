import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_assets.ml.fingerprints import (
    ORIENTATIONS,
    best_orientations,
    detail_correlations,
    invariant_features,
    near_pairs,
    standard_pixels,
    turned,
)
from tests.fixtures_images import distinct_pixels


def thumbnails(seeds: range) -> np.ndarray:
    return np.stack([distinct_pixels(seed, 32) for seed in seeds])


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (3, 32, 32), dtype=np.uint8)


@pytest.mark.parametrize("orientation", range(len(ORIENTATIONS)))
def test_features_are_the_same_in_each_orientation(orientation: int):
    images = noise(orientation)
    np.testing.assert_allclose(invariant_features(images), invariant_features(turned(images, orientation)), atol=1e-6)


@settings(max_examples=50)
@given(first=st.integers(0, 1000), second=st.integers(0, 1000), share=st.floats(0, 1), turn=st.integers(0, 7))
def test_features_are_never_further_apart_than_the_thumbnails(first, second, share, turn):
    left = noise(first)
    right = turned((left * share + noise(second) * (1 - share)).astype(np.uint8), turn)
    pixels = [standard_pixels(images).reshape(3, -1) for images in (turned(left, turn), right)]
    distances = np.linalg.norm(pixels[0] - pixels[1], axis=1)
    assert (np.linalg.norm(invariant_features(left) - invariant_features(right), axis=1) <= distances + 1e-5).all()


def test_near_pairs_are_found_once_lower_row_first():
    features = invariant_features(np.concatenate([thumbnails(range(400)), thumbnails(range(100, 150))]))
    first, second = near_pairs(features, 0.05)
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [(100 + n, 400 + n) for n in range(50)]


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_rows_have_no_pairs(count: int):
    first, second = near_pairs(invariant_features(noise(0)[:count]), 0.2)
    assert len(first) == len(second) == 0


def test_work_grows_far_slower_than_the_square(monkeypatch: pytest.MonkeyPatch):
    compared: list[int] = []
    from brain_assets.ml import fingerprints

    original = fingerprints._distances
    monkeypatch.setattr(fingerprints, "_distances", lambda f, a, b: (compared.append(len(a)), original(f, a, b))[1])
    work = []
    for count in (1000, 4000):
        compared.clear()
        near_pairs(np.random.default_rng(0).standard_normal((count, 143)).astype(np.float32), 0.2)
        work.append(sum(compared))
    assert 0 < work[1] < 8 * work[0]


@pytest.mark.parametrize("orientation", range(len(ORIENTATIONS)))
def test_best_orientation_turns_left_into_right(orientation: int):
    left = standard_pixels(noise(0))
    best, correlation, unturned = best_orientations(left, turned(left, orientation))
    assert best.tolist() == [orientation] * 3
    assert correlation == pytest.approx(np.ones(3), abs=1e-5)
    assert (unturned > 0.99).tolist() == [orientation == 0] * 3


def test_detail_ignores_contrast_and_sees_another_texture():
    texture = np.random.default_rng(0).integers(0, 200, (3, 64, 64)).astype(np.uint8)
    darker = (texture * 0.5 + 20).astype(np.uint8)
    turns = np.array([0, 5, 7], dtype=np.int8)
    right = np.stack([turned(darker[i : i + 1], int(turn))[0] for i, turn in enumerate(turns)])
    assert detail_correlations(texture, right, turns).min() > 0.95
    assert detail_correlations(texture, right[::-1].copy(), turns)[[0, 2]].max() < 0.5
