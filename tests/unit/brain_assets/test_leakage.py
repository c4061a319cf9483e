import numpy as np
import pandas as pd
import pytest

from brain_assets.ml.duplicates import find_duplicates
from brain_assets.ml.leakage import PAIR_COLUMNS, leaked_pairs, published_split_leakage
from tests.fixtures_images import distinct_pixels, statistics_of


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


def test_leakage_by_patient_counts_testing_images_of_patients_in_training():
    patients = pd.DataFrame([("a", "p1"), ("d", "p1"), ("c", "p2"), ("e", None)], columns=["key", "patient"])
    leakage = published_split_leakage(*leakage_tables(), patients).set_index("label")
    assert leakage["known_patient_images"].to_dict() == {"glioma": 2, "notumor": 0, "all": 2}
    assert leakage.loc["glioma", "shared_patient_share"] == pytest.approx(0.5)
    assert pd.isna(leakage.loc["notumor", "shared_patient_share"])
    assert leakage["leaked_or_shared_share"].to_dict() == pytest.approx({"glioma": 1.0, "notumor": 0, "all": 0.6})


def pairs_of(images: dict[str, np.ndarray]) -> list[list[object]]:
    splits = [key.partition("/")[0] for key in images]
    manifest = pd.DataFrame({"key": list(images), "label": "glioma", "published_split": splits})
    pairs = leaked_pairs(manifest, find_duplicates(statistics_of(images)).links)
    assert pairs.columns.tolist() == list(PAIR_COLUMNS)
    return pairs[["key", "training_key", "orientation"]].to_numpy().tolist()


def test_pair_names_the_training_copy_and_how_it_is_turned():
    original, other = distinct_pixels(1), distinct_pixels(2)
    images = {"Testing/a": np.rot90(original), "Training/b": original, "Testing/c": other[:, ::-1], "Training/d": other}
    assert pairs_of(images) == [["Testing/a", "Training/b", "turned 90"], ["Testing/c", "Training/d", "mirrored"]]


def test_orientation_is_that_of_the_training_image_whichever_key_comes_first():
    images = {"Training/x": np.rot90(distinct_pixels(1)), "Testing/z": distinct_pixels(1)}
    assert pairs_of(images) == [["Testing/z", "Training/x", "turned 270"]]


def test_exact_copies_reach_every_link_of_the_first_of_them():
    original = distinct_pixels(1)
    mirrored = original[:, ::-1]
    images = {"Testing/a": original, "Testing/b": original, "Training/c": mirrored, "Training/d": mirrored}
    assert pairs_of(images) == [["Testing/a", "Training/c", "mirrored"], ["Testing/b", "Training/c", "mirrored"]]
    assert pairs_of(images | {"Training/e": original})[1] == ["Testing/b", "Training/e", "same"]


def test_images_without_a_copy_in_training_have_no_pair():
    assert pairs_of({"Testing/a": distinct_pixels(1), "Testing/b": distinct_pixels(1)}) == []
    assert pairs_of({"Training/a": distinct_pixels(1), "Testing/b": distinct_pixels(2)}) == []
