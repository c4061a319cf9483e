import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_assets.ml.splits import PARTS, assign_splits, crossing_groups
from brain_core.errors import SettingsError
from brain_core.labels import CLASSES

Tables = tuple[pd.DataFrame, pd.DataFrame]


def tables(rows: list[tuple[int, str]]) -> Tables:
    """Groups and manifest of images with a group and a label; keys are numbered."""
    table = pd.DataFrame(rows, columns=["group", "label"]).assign(key=[f"{i:05d}.jpg" for i in range(len(rows))])
    return table[["key", "group"]], table[["key", "label"]]


def many_groups(groups_by_class: int = 100) -> Tables:
    """Groups of one to five images in each class."""
    rows = []
    for index, label in enumerate(CLASSES):
        for number in range(groups_by_class):
            rows += [(index * groups_by_class + number, label)] * (1 + number % 5)
    return tables(rows)


@settings(deadline=None, max_examples=40)
@given(
    rows=st.lists(st.tuples(st.integers(0, 30), st.sampled_from(CLASSES)), max_size=80),
    fractions=st.sampled_from([(0.7, 0.1, 0.2), (0.02, 0.49, 0.49), (0.01, 0.01, 0.98), (0.98, 0.01, 0.01)]),
    seed=st.integers(0, 3),
)
def test_whole_groups_are_assigned_and_each_class_with_three_groups_is_in_every_part(rows, fractions, seed):
    groups, manifest = tables(rows)
    splits = assign_splits(groups, manifest, fractions, seed)
    assert splits["key"].tolist() == groups["key"].tolist()
    assert set(splits["part"]) <= set(PARTS)
    assert crossing_groups(splits) == []
    by_group = splits.groupby("group").agg(label=("label", lambda s: s.mode().iloc[0]), part=("part", "first"))
    for _, parts in by_group.groupby("label")["part"]:
        assert set(parts) == (set(PARTS) if len(parts) >= 3 else set(["train", "test"][: len(parts)]))


def test_fractions_hold_for_the_groups_of_each_class():
    splits = assign_splits(*many_groups(), fractions=(0.7, 0.1, 0.2))
    counts = splits[splits["is_representative"]].groupby(["label", "part"]).size()
    for label in CLASSES:
        assert counts[label].to_dict() == {"train": 70, "validation": 10, "test": 20}


def test_order_of_the_rows_does_not_matter():
    groups, manifest = many_groups()
    shuffled = assign_splits(groups.sample(frac=1, random_state=1), manifest.sample(frac=1, random_state=2))
    assert shuffled.equals(assign_splits(groups, manifest))


def test_group_numbers_do_not_matter():
    groups, manifest = many_groups()
    renumbered = groups.assign(group=1000 - groups["group"])
    assert (assign_splits(renumbered, manifest)["part"] == assign_splits(groups, manifest)["part"]).all()


def test_seed_changes_the_assignment():
    parts = [assign_splits(*many_groups(), seed=seed)["part"] for seed in (0, 0, 1)]
    assert (parts[0] == parts[1]).all()
    assert (parts[0] != parts[2]).mean() > 0.1


def test_representative_is_the_first_key_of_its_group():
    splits = assign_splits(*tables([(1, "glioma"), (0, "glioma"), (1, "glioma"), (0, "glioma")]))
    assert splits["is_representative"].tolist() == [True, True, False, False]


def test_group_that_disagrees_about_the_label_counts_for_the_most_frequent_and_keeps_each_image_its_own():
    rows = [(0, "glioma"), (0, "notumor"), (0, "notumor"), (1, "glioma"), (2, "glioma"), (3, "notumor")]
    splits = assign_splits(*tables(rows)).set_index("key")
    assert splits["label"].tolist() == [label for _, label in rows]
    # Two groups a class: one for training, one for test, whatever the stray glioma in group 0.
    parts = splits.groupby("group")["part"].first()
    assert {parts[0], parts[3]} == {parts[1], parts[2]} == {"train", "test"}


def test_images_without_a_group_are_left_out():
    groups, manifest = tables([(0, "glioma"), (1, "glioma"), (2, "glioma")])
    assert assign_splits(groups.iloc[1:], manifest)["key"].tolist() == ["00001.jpg", "00002.jpg"]


@pytest.mark.parametrize("fractions", [(0.7, 0.1, 0.1), (0.8, 0.0, 0.2), (1.2, -0.1, -0.1)])
def test_fractions_that_do_not_add_up_are_refused(fractions: tuple[float, float, float]):
    with pytest.raises(SettingsError, match="add up to 1"):
        assign_splits(*many_groups(3), fractions=fractions)


def test_crossing_groups_names_each_group_in_two_parts():
    splits = pd.DataFrame({"group": np.array([4, 4, 2, 2, 9]), "part": ["train", "test", "train", "train", "test"]})
    assert crossing_groups(splits) == [4]
