import os
from pathlib import Path

import pandas as pd
import pytest

from brain_assets.ml.image_facts import BR35H, FIGSHARE, SARTAJ, KnownImages, image_facts, published_testing


def splits(*rows: tuple[str, str, int, str], **columns: object) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["key", "label", "group", "part"]).assign(**columns)


def known(table: pd.DataFrame, **annotations: object) -> KnownImages:
    manifest = pd.DataFrame({"key": table["key"], "published_split": ""})
    return KnownImages(table, manifest, pd.DataFrame({"key": table["key"], **annotations}))


def test_the_public_images_are_told_by_what_they_were_joined_from():
    names = {"Te-gl_0012": "glioma", "Tr-me_3": "meningioma", "Te-noTr_0001": "notumor", "Tr-pi_0004": "pituitary"}
    rows = [(f"data/Testing/{label}/{name}.jpg", label, 0, "test") for name, label in names.items()]
    facts = image_facts(known(splits(*rows, source="public"), slice=["1979", None, None, None]))
    assert facts["source"].tolist() == [FIGSHARE, SARTAJ, BR35H, SARTAJ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["siemens-01", "siemens-02", "ge_1"], ["siemens", "siemens", "ge"]),
        (["01", "glioma-2", "ge_1"], ["own", "own", "ge"]),
        ([f"{letter}1" for letter in "abcdefghi"], ["own"] * 9),
    ],
    ids=["beginnings", "numbers and the class tell nothing", "too many beginnings"],
)
def test_other_images_are_told_by_how_their_names_begin(names, expected):
    rows = [(f"data/{name}.png", "glioma", index, "test") for index, name in enumerate(names)]
    assert image_facts(known(splits(*rows, source="own")))["source"].tolist() == expected


def test_planes_are_told_where_they_are_known():
    table = splits(("a", "glioma", 0, "test"), ("b", "glioma", 1, "test"))
    assert image_facts(known(table, plane=["axial", None]))["plane"].tolist() == ["axial", None]
    assert image_facts(known(table))["plane"].tolist() == [None, None]


def test_every_group_has_one_representative_the_named_one_where_there_is_one():
    rows = [("a", "glioma", 0, "test"), ("b", "glioma", 0, "test"), ("c", "glioma", 1, "test")]
    assert image_facts(known(splits(*rows)))["is_representative"].tolist() == [True, False, True]
    named = splits(*rows, is_representative=[False, True, False])
    assert image_facts(known(named))["is_representative"].tolist() == [False, True, True]


def test_without_components_the_groups_are_them():
    table = splits(("a", "glioma", 4, "test"), ("b", "glioma", 5, "test"))
    assert image_facts(known(table))["component"].tolist() == [4, 5]
    assert image_facts(known(table.assign(component=7)))["component"].tolist() == [7, 7]


def test_the_published_testing_images_are_told_from_what_was_trained_on():
    rows = [("train", "glioma", 0, "train"), ("copy", "glioma", 0, "train"), ("same patient", "glioma", 1, "train")]
    table = splits(*rows, ("new", "glioma", 2, "test"), component=[0, 0, 0, 1])
    manifest = pd.DataFrame({"key": table["key"], "published_split": ["Training", "Testing", "Training", "Testing"]})
    facts = image_facts(KnownImages(table, manifest, pd.DataFrame({"key": []})))
    found = published_testing(facts)
    assert found.index.tolist() == ["copy", "new"]
    assert found["is_trained"].tolist() == [True, False]


def test_an_image_that_was_tuned_on_counts_as_trained_on():
    facts = image_facts(known(splits(("a", "glioma", 0, "validation"))))
    assert published_testing(facts.assign(published_split="Testing"))["is_trained"].tolist() == [True]


def test_without_a_published_split_there_are_no_testing_images():
    assert published_testing(image_facts(known(splits(("a", "glioma", 0, "train"))))).empty


@pytest.mark.real_data
def test_every_image_of_the_public_set_has_its_origin():
    root = Path(os.environ["BRAIN_TEST_DATA"])
    images = [path.relative_to(root / "brain-tumor-mri") for path in sorted(root.glob("brain-tumor-mri/*/*/*.jpg"))]
    annotated = pd.read_csv(root / "annotations.csv")
    slices = dict(zip(annotated["file"].str.rpartition("/")[2], annotated["figshare_slice"].astype(str), strict=True))
    rows = [(f"data/{path}", path.parts[1], index, "train") for index, path in enumerate(images)]
    facts = image_facts(known(splits(*rows, source="public"), slice=[slices.get(path.name) for path in images]))
    assert set(facts["source"]) == {FIGSHARE, SARTAJ, BR35H}
    assert (facts["source"] == FIGSHARE).sum() == len(annotated)
    assert facts.loc[facts["source"] == BR35H, "label"].unique().tolist() == ["notumor"]
    assert set(facts.loc[facts["source"] == SARTAJ, "label"]) == {"meningioma", "pituitary"}
