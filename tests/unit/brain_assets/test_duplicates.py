import numpy as np
import pandas as pd
import pytest

from brain_assets.ml.duplicates import duplicate_groups, published_split_leakage
from brain_assets.ml.ingestion import ingest
from brain_assets.ml.sources import Source
from brain_assets.ml.statistics import image_statistics
from brain_core.imaging import decode, encode_jpeg, resize
from brain_core.storage import LocalBucket
from tests.fixtures_images import distinct_pixels, statistics_of

ORIENTATIONS = {
    f"{'mirrored' if mirrored else 'upright'}-{90 * turns}": (mirrored, turns)
    for mirrored in (False, True)
    for turns in range(4)
}


def groups_of(images: dict[str, np.ndarray], column: str = "group") -> list[set[str]]:
    table = duplicate_groups(statistics_of(images))
    return [set(members["key"]) for _, members in table.groupby(column)]


def oriented(pixels: np.ndarray, name: str) -> np.ndarray:
    mirrored, turns = ORIENTATIONS[name]
    return np.rot90(pixels[:, ::-1] if mirrored else pixels, turns)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_copy_is_found_in_each_orientation_from_either_side(name: str):
    original, other = distinct_pixels(1), distinct_pixels(2)
    copy = oriented(original, name)
    assert groups_of({"a": original, "b": copy, "c": other}) == [{"a", "b"}, {"c"}]
    assert groups_of({"a": copy, "b": original, "c": other}) == [{"a", "b"}, {"c"}]


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_upright_group_counts_only_the_unturned_copy(name: str):
    images = {"a": distinct_pixels(1), "b": oriented(distinct_pixels(1), name)}
    assert len(groups_of(images, "upright_group")) == (1 if name == "upright-0" else 2)


def test_copy_that_was_resized_recompressed_and_brightened_is_found():
    original = distinct_pixels(3)
    smaller = resize(original, 50)
    recompressed = decode(encode_jpeg(original, 40)).grey
    brighter = (original * 0.7 + 60).astype(np.uint8)
    assert len(groups_of({"a": original, "b": smaller, "c": recompressed, "d": brighter})) == 1


def test_different_images_are_alone():
    assert len(groups_of({str(seed): distinct_pixels(seed) for seed in range(40)})) == 40


def test_links_are_transitive():
    first, last = distinct_pixels(1).astype(float), distinct_pixels(2).astype(float)
    chain = {f"{step:02d}": (first + (last - first) * step / 30).astype(np.uint8) for step in range(31)}
    assert len(groups_of({"first": chain["00"], "last": chain["30"]})) == 2
    assert len(groups_of(chain)) == 1


def test_uniform_images_are_copies_only_when_their_pixels_are_equal():
    black, white = np.zeros((64, 64), np.uint8), np.full((64, 64), 255, np.uint8)
    assert groups_of({"a": black, "b": white, "c": black}) == [{"a", "c"}, {"b"}]


def test_copies_are_found_across_blocks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("brain_assets.ml.duplicates._BLOCK_ROWS", 3)
    images = {f"{seed:02d}": distinct_pixels(seed % 10)[:, :: -1 if seed >= 10 else 1] for seed in range(20)}
    assert groups_of(images) == [{f"{seed:02d}", f"{seed + 10:02d}"} for seed in range(10)]


def test_groups_are_numbered_by_first_key_whatever_the_row_order():
    images = {"d": distinct_pixels(1), "c": distinct_pixels(2), "b": distinct_pixels(1), "a": distinct_pixels(2)}
    statistics = statistics_of(images)
    table = duplicate_groups(statistics)
    assert table[["key", "group", "group_size"]].to_numpy().tolist() == [
        ["a", 0, 2],
        ["b", 1, 2],
        ["c", 0, 2],
        ["d", 1, 2],
    ]
    assert duplicate_groups(statistics.sample(frac=1, random_state=3)).equals(table)


def test_no_images_are_no_groups():
    table = duplicate_groups(statistics_of({}))
    assert table.empty
    assert list(table.columns) == ["key", "group", "upright_group", "group_size"]


def leakage_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = [
        # key, label, published split, group, upright group
        ("a", "glioma", "Training", 0, 0),
        ("b", "glioma", "Testing", 0, 0),
        ("c", "glioma", "Testing", 0, 1),
        ("d", "glioma", "Testing", 1, 2),
        ("e", "notumor", "Testing", 2, 3),
        ("f", "notumor", "Testing", 2, 3),
    ]
    table = pd.DataFrame(rows, columns=["key", "label", "published_split", "group", "upright_group"])
    return table[["key", "label", "published_split"]], table[["key", "group", "upright_group"]]


def test_leakage_counts_testing_images_with_a_training_copy():
    leakage = published_split_leakage(*leakage_tables()).set_index("label")
    assert leakage["testing_images"].to_dict() == {"glioma": 3, "notumor": 2, "all": 5}
    assert leakage["leaked_images"].to_dict() == {"glioma": 2, "notumor": 0, "all": 2}
    assert leakage["leaked_share"].to_dict() == pytest.approx({"glioma": 2 / 3, "notumor": 0, "all": 0.4})
    assert leakage["upright_leaked_share"].to_dict() == pytest.approx({"glioma": 1 / 3, "notumor": 0, "all": 0.2})


def test_leakage_is_empty_without_a_published_split():
    manifest, groups = leakage_tables()
    leakage = published_split_leakage(manifest.assign(published_split=""), groups)
    assert leakage.empty
    assert {"label", "leaked_share"} <= set(leakage.columns)


def test_leakage_leaves_out_images_without_a_group():
    manifest, groups = leakage_tables()
    leakage = published_split_leakage(manifest, groups[groups["key"] != "d"]).set_index("label")
    assert leakage.loc["glioma", "testing_images"] == 2


@pytest.mark.real_data
def test_real_images_have_duplicates_that_share_a_label(real_subset: Source, bucket: LocalBucket):
    manifest = ingest(real_subset, bucket)
    groups = duplicate_groups(image_statistics(bucket, manifest))
    labels = groups.merge(manifest, on="key").groupby("group")["label"].nunique()
    assert groups["group"].nunique() < groups["upright_group"].nunique() < len(groups)
    assert (labels > 1).mean() < 0.01
