import numpy as np
import pandas as pd
import pytest

from brain_assets.ml.duplicates import LINK_COLUMNS, duplicate_groups, find_duplicates
from brain_assets.ml.fingerprints import ORIENTATIONS as LINK_ORIENTATIONS
from brain_assets.ml.sources import Source
from brain_assets.ml.statistics import image_statistics
from brain_core.descriptors import detail
from brain_core.imaging import decode, encode_jpeg, resize
from brain_core.storage import LocalBucket
from tests.fixtures_images import distinct_pixels, ingest_all, statistics_of

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


def test_copies_are_found_in_a_set_that_is_too_large_to_compare_everything():
    images = {f"{seed:03d}": distinct_pixels(seed % 150)[:, :: -1 if seed >= 150 else 1] for seed in range(300)}
    assert groups_of(images) == [{f"{seed:03d}", f"{seed + 150:03d}"} for seed in range(150)]


def test_crowd_of_images_alike_is_one_group():
    random, original = np.random.default_rng(0), distinct_pixels(1, 32).astype(int)
    noisy = {f"{n:03d}": np.clip(original + random.normal(0, 5, original.shape), 0, 255) for n in range(600)}
    assert len(groups_of({key: pixels.astype(np.uint8) for key, pixels in noisy.items()})) == 1


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
    assert list(table.columns) == ["key", "group", "upright_group", "group_size", "related_group"]
    assert find_duplicates(statistics_of({})).links.columns.tolist() == list(LINK_COLUMNS)


def linked(images: dict[str, np.ndarray]) -> dict[tuple[str, str], dict[str, object]]:
    links = find_duplicates(with_detail(images)).links
    return {(link["key_a"], link["key_b"]): link for link in links.to_dict("records")}


def with_detail(images: dict[str, np.ndarray]) -> pd.DataFrame:
    return statistics_of(images).assign(detail=[detail(pixels).tobytes() for pixels in images.values()])


def textured(seed: int, texture: int) -> np.ndarray:
    """Coarse pixels of one seed under a fine texture of another: alike as thumbnails, different in detail."""
    fine = np.random.default_rng(texture).integers(-20, 21, (64, 64))
    return np.clip(distinct_pixels(seed) * 0.6 + 50 + fine, 0, 255).astype(np.uint8)


def test_link_names_the_orientation_that_turns_the_first_into_the_second():
    for index, name in enumerate(ORIENTATIONS):
        link = linked({"a": distinct_pixels(1), "b": oriented(distinct_pixels(1), name)})["a", "b"]
        assert link["orientation"] == LINK_ORIENTATIONS[index]
        assert link["is_copy"]
        assert link["is_upright"] == (index == 0)
        assert link["correlation"] == pytest.approx(1, abs=1e-3)


def test_exact_copies_are_linked_with_the_first_of_them_only():
    pixels = distinct_pixels(1)
    links = linked({"c": pixels, "a": pixels, "b": pixels, "d": pixels[:, ::-1]})
    assert [pair for pair, link in links.items() if link["is_exact"]] == [("a", "b"), ("a", "c")]
    assert ("a", "d") in links
    assert len(links) == 3


def test_near_image_that_differs_in_detail_is_related_but_no_copy():
    images = {"a": textured(1, 1), "b": textured(1, 2), "c": distinct_pixels(9)}
    assert 0.98 < linked(images)["a", "b"]["correlation"] < 0.995
    assert not linked(images)["a", "b"]["is_copy"]
    groups = duplicate_groups(with_detail(images))
    assert groups["group"].tolist() == [0, 1, 2]
    assert groups["related_group"].tolist() == [0, 0, 1]


def test_copy_with_another_contrast_is_told_by_its_detail():
    original = textured(1, 1)
    altered = (255 * (original / 255) ** 2.2).astype(np.uint8)
    link = linked({"a": original, "b": altered[::-1]})["a", "b"]
    assert link["correlation"] < 0.995
    assert link["detail_correlation"] > 0.83
    assert link["is_copy"]
    assert link["orientation"] == "mirrored, turned 180"


def test_without_detail_every_link_counts_as_a_copy():
    table = duplicate_groups(statistics_of({"a": textured(1, 1), "b": textured(1, 2)}))
    assert table["group"].tolist() == table["related_group"].tolist() == [0, 0]


def test_links_do_not_depend_on_the_row_order():
    statistics = with_detail({str(n): distinct_pixels(n % 20)[:: -1 if n > 30 else 1] for n in range(60)})
    shuffled = find_duplicates(statistics.sample(frac=1, random_state=1)).links
    pd.testing.assert_frame_equal(shuffled, find_duplicates(statistics).links)
    assert len(shuffled) >= 40


@pytest.mark.real_data
def test_real_images_have_duplicates_that_share_a_label(real_subset: Source, bucket: LocalBucket):
    manifest = ingest_all(real_subset, bucket)
    groups = duplicate_groups(image_statistics(bucket, manifest))
    labels = groups.merge(manifest, on="key").groupby("group")["label"].nunique()
    assert groups["group"].nunique() < groups["upright_group"].nunique() < len(groups)
    assert (labels > 1).mean() < 0.01
