import numpy as np
import pytest

from brain_assets.ml.checkpoints import Checkpoint, NoCheckpoints, fits

STATE = Checkpoint("mark", [{"epoch": 1, "loss": 0.5}], [np.ones((2, 3)), np.int64(7)], b"best", 0.25)


def test_a_checkpoint_is_read_as_it_was_written():
    read = Checkpoint.from_bytes(STATE.to_bytes())
    assert read is not None
    assert (read.mark, read.history, read.best_weights, read.best_loss) == ("mark", STATE.history, b"best", 0.25)
    np.testing.assert_array_equal(read.variables[0], np.ones((2, 3)))
    assert read.variables[1] == 7


@pytest.mark.parametrize("data", [b"", b"not an archive", STATE.to_bytes()[:-30]])
def test_a_damaged_checkpoint_is_none(data):
    assert Checkpoint.from_bytes(data) is None


def test_values_of_another_network_do_not_fit():
    assert fits([np.zeros((2, 3))], [np.ones((2, 3))])
    assert not fits([np.zeros((2, 3))], [np.ones((3, 2))])
    assert not fits([np.zeros(2), np.zeros(2)], [np.ones(2)])


def test_without_a_store_nothing_is_kept():
    store = NoCheckpoints()
    store.save(STATE)
    assert store.load("mark") is None
