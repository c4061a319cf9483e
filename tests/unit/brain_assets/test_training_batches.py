import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from brain_assets.ml.training_batches import BatchOptions, chosen_rows, group_rows, learning_heads, training_batches
from brain_assets.ml.training_data import TrainingData
from brain_assets.ml.variation import NO_VARIATION
from tests.fixtures_model import textures

GROUPS = st.lists(st.integers(-1, 5), min_size=1, max_size=40).map(lambda values: np.array(values, np.int64))


@given(GROUPS)
def test_every_row_is_in_one_group_and_rows_without_a_group_are_alone(groups):
    rows = group_rows(groups)
    assert sorted(np.concatenate(rows).tolist()) == list(range(len(groups)))
    assert all(len(set(groups[found].tolist())) == 1 for found in rows)
    assert len(rows) == len(set(groups.tolist()) - {-1}) + (groups == -1).sum()


@given(GROUPS, st.integers(0, 50))
def test_an_epoch_shows_one_image_of_each_group_and_the_same_for_the_same_seed(groups, epoch):
    rows = group_rows(groups)
    chosen = chosen_rows(rows, 3, epoch)
    assert sorted(groups[chosen].tolist()) == sorted(groups[found[0]] for found in rows)
    np.testing.assert_array_equal(chosen, chosen_rows(rows, 3, epoch))


def test_another_epoch_shows_other_images_of_the_groups_in_another_order():
    rows = group_rows(np.arange(400) // 4)
    first, second = chosen_rows(rows, 0, 0), chosen_rows(rows, 0, 1)
    assert set(first) != set(second)
    assert (first // 4 != second // 4).any()


def test_a_batch_holds_images_targets_and_class_weights_and_can_start_at_any_epoch():
    images, labels = textures(12)
    data = TrainingData(images, labels, images, labels, groups=np.arange(12) % 8)
    batches = training_batches(data, BatchOptions(4, 0, NO_VARIATION, (4, 4)))
    seen, targets, weights = batches[1]
    assert (len(batches), len(seen), targets["cells"].shape) == (2, 4, (4, 4, 4, 4))
    assert weights["logits"].shape == (4,)
    batches.on_epoch_end()
    later = training_batches(data, BatchOptions(4, 0, NO_VARIATION, (4, 4)))
    later.start_at(1)
    np.testing.assert_array_equal(batches[0][0], later[0][0])


def test_the_members_of_a_twin_learn_each_on_its_own_and_a_single_network_as_a_whole():
    twin = ["embedding", "cells", "logits", "activation_map", "logits_a", "cells_a", "logits_b", "cells_b"]
    assert learning_heads(twin) == ("logits_a", "cells_a", "logits_b", "cells_b")
    assert learning_heads(twin[:4]) == ("cells", "logits")
    assert learning_heads(["logits", "embedding"]) == ("logits",)


def test_an_image_counts_its_own_weight_beside_that_of_its_class():
    images, labels = textures(8)
    heavy = np.where(np.arange(8) == 3, 5.0, 1.0)
    options = BatchOptions(8, 0, NO_VARIATION, (4, 4))
    plain, weighted = (
        training_batches(TrainingData(images, labels, images, labels, weights=found), options)[0][2]["logits"]
        for found in (np.ones(8), heavy)
    )
    np.testing.assert_allclose(weighted / plain, heavy)
