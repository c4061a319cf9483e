import numpy as np
import pytest

from brain_core.descriptors import histogram, thumbnail
from brain_core.errors import BundleError
from brain_core.gate import Gate, best_correlation, standardised
from brain_core.imaging import DecodedImage


def blob(row: int, column: int) -> np.ndarray:
    y, x = np.mgrid[0:64, 0:64]
    return (255 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 200)).astype(np.uint8)


def decoded(grey: np.ndarray, channel_spread: float = 0.0) -> DecodedImage:
    return DecodedImage(grey, channel_spread, grey.shape[1], grey.shape[0], "PNG")


@pytest.fixture
def gate() -> Gate:
    known = [blob(20, 20), blob(40, 40)]
    return Gate(np.stack([thumbnail(g) for g in known]), np.stack([histogram(g) for g in known]), threshold=0.9)


def test_a_known_image_passes(gate):
    decision = gate.check(decoded(blob(40, 40)))
    assert decision.is_valid
    assert decision.score == pytest.approx(1.0, abs=1e-5)
    assert decision.histogram_correlation == pytest.approx(1.0, abs=1e-5)
    assert decision.reason is None


def test_an_unlike_image_is_refused_with_a_reason(gate):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    decision = gate.check(decoded(noise))
    assert not decision.is_valid
    assert "does not look like" in str(decision.reason)


def test_a_colour_image_is_refused_even_when_it_looks_alike(gate):
    decision = gate.check(decoded(blob(40, 40), channel_spread=30.0))
    assert not decision.is_valid
    assert "colour" in str(decision.reason)


def test_a_constant_image_is_refused_without_dividing_by_zero(gate):
    decision = gate.check(decoded(np.zeros((64, 64), np.uint8)))
    assert (decision.is_valid, decision.score) == (False, 0.0)


def test_the_gate_survives_its_archive(gate):
    again = Gate.from_bytes(gate.to_bytes())
    image = decoded(blob(30, 30))
    assert again.check(image) == gate.check(image)


@pytest.mark.parametrize("data", [b"", b"not an archive", b"PK\x03\x04"])
def test_a_damaged_archive_is_a_bundle_error(data):
    with pytest.raises(BundleError, match=r"gate\.npz"):
        Gate.from_bytes(data)


def test_best_correlation_is_pearsons():
    rng = np.random.default_rng(1)
    rows, vector = rng.random((5, 40)), rng.random(40)
    expected = max(np.corrcoef(row, vector)[0, 1] for row in rows)
    assert best_correlation(standardised(rows), vector) == pytest.approx(expected, abs=1e-5)
