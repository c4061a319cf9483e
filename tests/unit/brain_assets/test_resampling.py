import numpy as np
import pytest

from brain_assets.ml.resampling import RESAMPLES, Resampling, interval, recentred_interval


def test_whole_groups_are_drawn_and_the_set_itself_comes_first():
    resampling = Resampling(np.array([7, 7, 3]))
    totals = resampling.totals(np.array([[1.0, 1], [1, 1], [0, 10]]))
    assert totals.shape == (1 + RESAMPLES, 2)
    assert totals[0].tolist() == [2, 12]
    assert {tuple(row) for row in totals[1:].tolist()} == {(4, 4), (2, 12), (0, 20)}


def test_the_same_seed_draws_the_same():
    first, again, other = (Resampling(np.arange(9), seed).weights for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_mean_leaves_out_what_is_not_known():
    found = Resampling(np.arange(4)).mean(np.array([1.0, np.nan, 0.0, 1.0]))
    assert found is not None
    assert found.value == pytest.approx(2 / 3)
    assert 0 <= found.low < found.value < found.high <= 1


def test_a_mean_of_nothing_is_none():
    assert Resampling(np.arange(2)).mean(np.full(2, np.nan)) is None


def test_patients_with_many_slices_make_the_interval_wide():
    values = np.repeat(np.arange(20) % 2, 10).astype(float)
    by_patient, by_image = (Resampling(groups).mean(values) for groups in (np.arange(200) // 10, np.arange(200)))
    assert by_patient.high - by_patient.low > 2 * (by_image.high - by_image.low)


def test_drawn_sets_without_a_figure_are_left_out_of_its_interval():
    found = interval(np.array([0.5, np.nan, 0.4, 0.6]))
    assert found is not None
    assert 0.4 <= found.low < found.high <= 0.6
    assert interval(np.array([np.nan, 0.4])) is None


def test_where_no_drawn_set_has_the_figure_its_bounds_are_itself():
    found = interval(np.array([0.5, np.nan]))
    assert found is not None
    assert (found.low, found.high) == (0.5, 0.5)


def test_an_error_that_drawing_makes_greater_lies_within_its_interval():
    drawn = np.linspace(0.04, 0.06, RESAMPLES)
    found = recentred_interval(np.concatenate([[0.01], drawn]))
    assert found.low == pytest.approx(0.0005, abs=1e-4)
    assert found.high == pytest.approx(0.0195, abs=1e-4)
    assert recentred_interval(np.array([0.0, 0.1, 0.2])).low == 0
