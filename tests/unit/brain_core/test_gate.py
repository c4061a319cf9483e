import io

import numpy as np
import pytest

from brain_core.descriptors import detail
from brain_core.errors import BundleError
from brain_core.gate import (
    COLOUR_REASON,
    FEATURE_NAMES,
    LIKENESS_NAMES,
    MAX_CHANNEL_SPREAD,
    Comparison,
    Gate,
    Trees,
    nearest,
    standardised,
)
from brain_core.imaging import DecodedImage
from brain_core.structure import STRUCTURE_NAMES
from tests.fixtures_bundle import drawn_slice, stump, tiny_gate


def decoded(grey: np.ndarray, channel_spread: float = 0.0) -> DecodedImage:
    return DecodedImage(grey, channel_spread, grey.shape[1], grey.shape[0], "PNG")


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (160, 160), dtype=np.uint8)


@pytest.fixture(scope="module")
def gate() -> Gate:
    return tiny_gate()


def with_trees(gate: Gate, trees: Trees) -> Gate:
    return Gate(gate.known, trees, gate.threshold)


def test_a_known_image_passes(gate):
    decision = gate.check(decoded(drawn_slice()))
    assert decision.is_valid
    assert decision.score == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-5)
    assert decision.histogram_correlation == pytest.approx(1.0, abs=1e-3)
    assert decision.reason is None


def test_an_unlike_image_is_refused_for_the_group_of_features_that_speaks_against_it(gate):
    likeness = gate.check(decoded(noise()))
    assert not likeness.is_valid
    assert "does not resemble" in str(likeness.reason)
    outline = with_trees(gate, stump("ellipse_overlap", 0.9)).check(decoded(np.eye(160, dtype=np.uint8) * 255))
    assert not outline.is_valid
    assert "outline of a head" in str(outline.reason)


def test_a_colour_image_is_refused_even_when_it_looks_alike(gate):
    decision = gate.check(decoded(drawn_slice(), channel_spread=MAX_CHANNEL_SPREAD + 0.1))
    assert (decision.is_valid, decision.score, decision.reason) == (False, 0.0, COLOUR_REASON)
    assert gate.check(decoded(drawn_slice(), channel_spread=MAX_CHANNEL_SPREAD)).is_valid


@pytest.mark.parametrize("grey", [np.zeros((64, 64), np.uint8), np.full((1, 1), 255, np.uint8)])
def test_an_even_image_is_refused_without_dividing_by_zero(gate, grey):
    decision = gate.check(decoded(grey))
    assert not decision.is_valid
    assert np.isfinite([decision.score, decision.histogram_correlation]).all()


def test_the_threshold_decides(gate):
    image = decoded(drawn_slice())
    score = gate.check(image).score
    assert Gate(gate.known, gate.trees, score).check(image).is_valid
    assert not Gate(gate.known, gate.trees, score + 1e-6).check(image).is_valid


def test_the_original_rule_is_the_best_correlation_with_a_stored_histogram(gate):
    image = drawn_slice(150, seed=40)
    counts = np.bincount(image.ravel(), minlength=256)
    expected = max(np.corrcoef(counts, known.astype(np.float64))[0, 1] for known in gate.known.histograms)
    assert gate.check(decoded(image)).histogram_correlation == pytest.approx(expected, abs=1e-3)


def test_trees_answer_as_followed_by_hand():
    # Left of 0.5 a second question tells leaf 0 from leaf 1; right of it is leaf 2.
    deep = Trees(
        feature=np.array([[0, 1]] * 2, np.int16),
        limit=np.array([[0.5, 2.0]] * 2, np.float32),
        remaining=np.array([[0b100, 0b110]] * 2, np.uint16),
        value=np.array([[1, 2, 10], [5, 7, 30]], np.float32),
        typical=np.zeros(2, np.float32),
    )
    features = np.array([[0.5, 2.0], [0.5, 2.1], [0.6, 0.0], [0.6, 9.0]], np.float32)
    assert deep.log_odds(features).tolist() == [6.0, 9.0, 40.0, 40.0]
    assert deep.log_odds(features[:0]).shape == (0,)


def test_images_judged_together_are_judged_as_each_alone(gate):
    images = [decoded(drawn_slice(90, 8)), decoded(noise()), decoded(drawn_slice(), 99.0)]
    together, alone = gate.check_all(images), [gate.check(image) for image in images]
    for one, other in zip(together, alone, strict=True):
        assert (one.is_valid, one.reason) == (other.is_valid, other.reason)
        assert one.score == pytest.approx(other.score, abs=1e-6)
        assert one.histogram_correlation == pytest.approx(other.histogram_correlation, abs=1e-6)
    assert gate.check_all([]) == []


def test_features_come_in_the_order_of_their_names(gate):
    grey = drawn_slice(100, seed=0)
    (features,) = Comparison(gate.known).features(detail(grey)[np.newaxis])
    named = dict(zip(FEATURE_NAMES, features.tolist(), strict=True))
    assert (*STRUCTURE_NAMES, *LIKENESS_NAMES) == FEATURE_NAMES
    assert [named[f"{kind}_best"] for kind in ("thumbnail", "body", "gradients")] == pytest.approx([1.0] * 3, abs=1e-3)
    assert named["thumbnail_near"] < named["thumbnail_best"]


def test_hidden_known_images_are_not_compared_with(gate):
    fine = detail(drawn_slice(100, seed=0))[np.newaxis]
    comparison = Comparison(gate.known)
    place = FEATURE_NAMES.index("thumbnail_best")
    hidden = np.zeros((1, len(gate.known.thumbnails)), bool)
    best = comparison.features(fine, hidden)[0, place]
    assert best == pytest.approx(1.0, abs=1e-3)
    hidden[0, [3, 4, 5]] = True
    assert comparison.features(fine, hidden)[0, place] < best - 1e-5


def test_nearest_gives_the_best_and_the_mean_of_three():
    found = nearest(np.array([[0.1, 0.9, 0.5, 0.7], [0.0, 0.0, 0.3, 0.0]], np.float32))
    np.testing.assert_allclose(found, [[0.9, 0.7], [0.3, 0.1]], rtol=1e-6)
    np.testing.assert_allclose(nearest(np.array([[0.4]], np.float32)), [[0.4, 0.4]])


def test_dot_products_of_standardised_vectors_are_pearsons_correlations():
    rng = np.random.default_rng(1)
    rows, vector = rng.random((5, 40)), rng.random(40)
    expected = [np.corrcoef(row, vector)[0, 1] for row in rows]
    np.testing.assert_allclose(standardised(rows) @ standardised(vector), expected, atol=1e-5)


def test_the_gate_survives_its_archive(gate):
    again = Gate.from_bytes(gate.to_bytes())
    for image in (decoded(drawn_slice(90, 8)), decoded(noise())):
        assert again.check(image) == gate.check(image)


@pytest.mark.parametrize("data", [b"", b"not an archive", b"PK\x03\x04"])
def test_a_damaged_archive_is_a_bundle_error(data):
    with pytest.raises(BundleError, match=r"gate\.npz"):
        Gate.from_bytes(data)


def altered(gate: Gate, **changes: np.ndarray | None) -> bytes:
    with np.load(io.BytesIO(gate.to_bytes())) as archive:
        arrays = {**archive, **changes}
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in arrays.items() if array is not None})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bodies": None}, "bodies"),
        ({"typical": np.zeros(3, np.float32)}, "3 features"),
        ({"histograms": np.zeros((2, 256), np.float16)}, "lengths"),
        ({"feature": np.array([["a"]], dtype=object)}, "pickle"),
    ],
)
def test_an_archive_that_does_not_fit_is_a_bundle_error_that_says_why(gate, changes, reason):
    with pytest.raises(BundleError, match=reason):
        Gate.from_bytes(altered(gate, **changes))
