import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_assets.ml.training_data import TrainingData, class_weights
from brain_core.errors import TrainingError
from tests.fixtures_model import textures

GROUPS = st.lists(st.integers(-1, 5), min_size=1, max_size=40).map(lambda values: np.array(values, np.int64))


@given(st.lists(st.integers(0, 3), max_size=50))
def test_class_weights_balance_the_classes(more):
    labels = np.array([0, 1, 2, 3, *more])
    weights = class_weights(labels)
    totals = [weights[index] * (labels == index).sum() for index in range(4)]
    np.testing.assert_allclose(totals, len(labels) / 4)


def test_a_class_without_images_is_named():
    with pytest.raises(TrainingError, match="no image of notumor, pituitary"):
        class_weights(np.array([0, 1, 1]))


def test_the_validation_images_of_a_group_count_as_one_image():
    images, labels = textures(4)
    data = TrainingData(images, labels, images, labels, validation_groups=np.array([7, 7, 9, -1]))
    np.testing.assert_allclose(data.validation_weights, [0.5, 0.5, 1, 1])
