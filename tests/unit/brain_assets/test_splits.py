import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_assets.ml.patients import components
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


@settings(max_examples=40)
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


def with_components(rows: list[tuple[int, int, str]]) -> Tables:
    """Groups and manifest of images with a group, a patient and a label, joined to components."""
    groups, manifest = tables([(group, label) for group, _, label in rows])
    patients = groups[["key"]].assign(patient=[str(patient) for _, patient, _ in rows])
    return components(groups, patients), manifest.assign(pixel_sha256=[f"hash-{key}" for key in manifest["key"]])


IMAGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 25), st.sampled_from(CLASSES)), max_size=80)
EARLIER = st.dictionaries(st.integers(0, 90), st.sampled_from(PARTS), max_size=30)


@settings(max_examples=40)
@given(rows=IMAGES, seed=st.integers(0, 3), earlier=EARLIER, by=st.sampled_from(["key", "pixel_sha256"]))
def test_earlier_assignments_are_kept_and_nothing_crosses(rows, seed, earlier, by):
    groups, manifest = with_components(rows)
    before = earlier_table(earlier, by)
    splits = assign_splits(groups, manifest, seed=seed, earlier=before)
    for column in ("group", "component"):
        assert crossing_groups(splits, column) == []
    known = splits["key"].map(lambda key: earlier.get(int(key.removesuffix(".jpg"))))
    for _, members in splits.assign(known=known).groupby("component"):
        strictest = max((PARTS.index(part) for part in members["known"].dropna()), default=None)
        if strictest is not None:
            assert set(members["part"]) == {PARTS[strictest]}
    moved = known.notna() & (known != splits["part"])
    assert splits["pulled_from"].where(moved).dropna().tolist() == known[moved].tolist()
    assert splits.loc[~moved, "pulled_from"].isna().all()
    shuffled = assign_splits(
        groups.sample(frac=1, random_state=1),
        manifest.sample(frac=1, random_state=2),
        seed=seed,
        earlier=before.sample(frac=1, random_state=3),
    )
    assert shuffled.equals(splits)


@settings(max_examples=20)
@given(rows=IMAGES, more=IMAGES, seed=st.integers(0, 3))
def test_test_images_stay_test_images_whatever_is_added(rows, more, seed):
    first = assign_splits(*with_components(rows), seed=seed)
    second = assign_splits(*with_components(rows + more), seed=seed, earlier=first[["key", "part"]])
    tested = first.loc[first["part"] == "test", "key"]
    assert set(second.set_index("key").loc[tested, "part"]) <= {"test"}


def earlier_table(parts: dict[int, str], by: str) -> pd.DataFrame:
    keys = [f"{number:05d}.jpg" for number in parts]
    names = keys if by == "key" else [f"hash-{key}" for key in keys]
    return pd.DataFrame({by: pd.Series(names, dtype=object), "part": pd.Series(list(parts.values()), dtype=object)})


def test_training_images_that_a_test_component_pulls_over_are_listed():
    rows = [(0, 0, "glioma"), (1, 0, "glioma"), (2, 1, "glioma"), (3, 2, "glioma")]
    earlier = earlier_table({0: "test", 1: "train", 2: "train"}, "key")
    splits = assign_splits(*with_components(rows), earlier=earlier)
    assert splits["part"].tolist()[:3] == ["test", "test", "train"]
    assert splits["pulled_from"].tolist() == [None, "train", None, None]


def test_earlier_table_may_know_some_images_by_key_and_some_by_pixels():
    rows = [(number, number, "glioma") for number in range(4)]
    both = pd.concat([earlier_table({0: "test"}, "key"), earlier_table({1: "validation"}, "pixel_sha256")])
    assert assign_splits(*with_components(rows), earlier=both)["part"].tolist()[:2] == ["test", "validation"]


def test_new_components_fill_what_earlier_ones_left_empty():
    groups, manifest = many_groups(50)
    first = {number: "train" for number in range(len(groups)) if manifest["label"][number] == "glioma"}
    kept = dict(list(first.items())[:60])
    splits = assign_splits(groups, manifest, earlier=earlier_table(kept, "key"))
    parts = splits[(splits["label"] == "glioma") & splits["is_representative"]]["part"].value_counts()
    assert parts["test"] == pytest.approx(10, abs=1)
    assert parts["validation"] == pytest.approx(5, abs=1)


@pytest.mark.parametrize("seed", range(5))
def test_components_of_very_different_sizes_are_balanced(seed: int):
    random = np.random.default_rng(seed)
    sizes = [150, 60, 40, *random.geometric(0.12, 100).tolist()]
    rows = [(n, patient, "glioma") for patient, size in enumerate(sizes) for n in [0] * size]
    rows = [(number, patient, label) for number, (_, patient, label) in enumerate(rows)]
    splits = assign_splits(*with_components(rows), seed=seed)
    shares = splits["part"].value_counts(normalize=True)
    assert shares.to_dict() == pytest.approx({"train": 0.7, "validation": 0.1, "test": 0.2}, abs=0.02)


def test_large_components_are_not_all_for_training():
    """The test part would otherwise only know patients with few slices."""
    sizes = [1 + patient % 10 for patient in range(300)]
    rows = [(0, patient, "glioma") for patient, size in enumerate(sizes) for _ in range(size)]
    splits = assign_splits(*with_components([(n, patient, label) for n, (_, patient, label) in enumerate(rows)]))
    mean_sizes = splits.groupby(["part", "component"]).size().groupby("part").mean()
    assert mean_sizes["test"] == pytest.approx(mean_sizes["train"], rel=0.35)


def test_unknown_earlier_part_is_refused():
    with pytest.raises(SettingsError, match="holdout"):
        assign_splits(*many_groups(3), earlier=pd.DataFrame({"key": ["00000.jpg"], "part": ["holdout"]}))


def test_single_images_are_divided_like_patients_with_many():
    """Heavy patients go first; the single images used to fill up what these left, mostly outside the training part."""
    sizes = [60, 60, 55, 50, 40, 30, 30, 25, 20, 20, 15, 15, 15, 10, 10, 10, 10, *[1] * 100]
    rows = [(n, patient, "glioma") for n, patient in enumerate(np.repeat(range(len(sizes)), sizes).tolist())]
    splits = assign_splits(*with_components(rows))
    single = splits[splits.groupby("component")["group"].transform("size") == 1]
    assert single["part"].value_counts().to_dict() == {"train": 70, "validation": 10, "test": 20}
