import io

import numpy as np
import pytest

from brain_core.errors import BundleError
from brain_core.golden import Golden

GOLDEN = Golden(np.zeros((2, 8, 9), np.uint8), np.full((2, 4), 0.25, np.float32))


def packed(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_pictures_and_answers_are_read_as_they_were_written():
    read = Golden.from_bytes(GOLDEN.to_bytes())
    assert np.array_equal(read.pictures, GOLDEN.pictures)
    assert np.array_equal(read.probabilities, GOLDEN.probabilities)


@pytest.mark.parametrize(
    "data",
    [
        b"no archive",
        packed(pictures=GOLDEN.pictures),
        packed(pictures=GOLDEN.pictures, probabilities=GOLDEN.probabilities[:1]),
        packed(pictures=GOLDEN.pictures.astype(float), probabilities=GOLDEN.probabilities),
        packed(pictures=GOLDEN.pictures[0], probabilities=GOLDEN.probabilities),
        packed(pictures=np.array(["x"], dtype=object), probabilities=GOLDEN.probabilities),
    ],
    ids=["no archive", "no answers", "an answer missing", "not grey", "one picture", "objects"],
)
def test_a_damaged_file_is_an_error_of_ours(data):
    with pytest.raises(BundleError, match=r"golden\.npz"):
        Golden.from_bytes(data)
