import os
from pathlib import Path

import pandas as pd
import pytest

from brain_assets.ml.annotations import ANNOTATION_COLUMNS, Annotations, annotate, read_annotations
from brain_core.errors import AnnotationsUnreadable, SourceError

PATHS = ("Training/glioma/a.jpg", "Testing/glioma/a.jpg", "Training/notumor/b.jpg", "Testing/pituitary/c.jpg")


def manifest() -> pd.DataFrame:
    hashes = ["aa", "bb", "cc", "cc"]
    return pd.DataFrame({"key": [f"data/{path}" for path in PATHS], "path": PATHS, "sha256": hashes})


def annotated(text: str) -> Annotations:
    return annotate(manifest(), read_annotations(text.encode()))


def patients(text: str) -> dict[str, str]:
    table = annotated(text).table.dropna(subset=["patient"])
    return dict(zip(table["key"].str.removeprefix("data/"), table["patient"], strict=True))


def reasons(text: str) -> list[tuple[int, str, str]]:
    return list(annotated(text).problems.itertuples(index=False, name=None))


@pytest.mark.parametrize(
    "file",
    [
        "Training/notumor/b.jpg",
        "notumor/b.jpg",
        "b.jpg",
        "some/folder/above/Training/notumor/b.jpg",
        "notumor\\b.jpg",
    ],
)
def test_image_is_named_by_its_path_by_a_suffix_or_from_above_the_source(file: str):
    assert patients(f"file,patient\n{file},p1\n") == {"Training/notumor/b.jpg": "p1"}
    assert reasons(f"file,patient\n{file},p1\n") == []


def test_path_tells_images_of_one_name_apart_and_the_bare_name_does_not():
    assert patients("file,patient\nTesting/glioma/a.jpg,p1\n") == {"Testing/glioma/a.jpg": "p1"}
    assert patients("file,patient\na.jpg,p1\n") == {}
    assert reasons("file,patient\na.jpg,p1\n") == [(2, "a.jpg", "2 images have this name; give more of the path.")]


def test_hash_names_every_image_with_these_bytes():
    assert patients("sha256,patient\nCC,p1\n") == {"Training/notumor/b.jpg": "p1", "Testing/pituitary/c.jpg": "p1"}


def test_everything_that_is_known_is_joined_and_the_rest_is_unknown():
    text = "File, patient ,plane,figshare_slice,x0,y0,x1,y1,note\nb.jpg, 007 ,Axial,12,0.1,0.2,0.3,0.4,x\n"
    table = annotated(text).table
    assert table.columns.tolist() == list(ANNOTATION_COLUMNS)
    assert table["key"].tolist() == manifest()["key"].tolist()
    assert table.iloc[2].tolist() == ["data/Training/notumor/b.jpg", "007", "axial", "12", 0.1, 0.2, 0.3, 0.4]
    unknown = table.iloc[0]
    assert unknown[["patient", "plane", "slice"]].tolist() == [None] * 3
    assert unknown[["x0", "y0", "x1", "y1"]].isna().all()
    assert table["x0"].dtype == float


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ("-0.1,0,1,1", "outside"),
        ("0,0,1,1.01", "outside"),
        ("10,20,30,40", "outside"),
        ("0.5,0,0.5,1", "empty"),
        ("0,0.6,1,0.5", "empty"),
        ("0,0,1,", "not four numbers"),
        ("0,0,1,x", "not four numbers"),
        ("0,0,1,nan", "not four numbers"),
    ],
)
def test_wrong_box_is_listed_and_left_out_but_the_patient_stays(box: str, reason: str):
    text = f"file,patient,x0,y0,x1,y1\nb.jpg,p1,{box}\n"
    assert patients(text) == {"Training/notumor/b.jpg": "p1"}
    assert annotated(text).table["x0"].isna().all()
    [(row, image, listed)] = reasons(text)
    assert (row, image) == (2, "b.jpg")
    assert reason in listed


def test_box_of_the_whole_image_is_right():
    table = annotated("file,x0,y0,x1,y1\nb.jpg,0,0,1,1\n").table
    assert table.loc[2, ["x0", "y0", "x1", "y1"]].tolist() == [0, 0, 1, 1]


def test_unknown_images_planes_and_repeated_rows_are_listed():
    text = "file,sha256,plane\nmissing.jpg,,\n,ff,\n,,axial\nb.jpg,,oblique\nb.jpg,,axial\n"
    listed = reasons(text)
    assert [row for row, _, _ in listed] == [2, 3, 4, 5, 6]
    assert [image for _, image, _ in listed] == ["missing.jpg", "ff", "", "b.jpg", "b.jpg"]
    words = ["no such image", "has this hash", "names no image", "oblique", "named twice"]
    assert [word in reason for word, (_, _, reason) in zip(words, listed, strict=True)] == [True] * 5
    assert annotated(text).table["plane"].isna().all()


def test_header_alone_annotates_nothing():
    result = annotated("file,patient\n")
    assert result.table["patient"].isna().all()
    assert result.problems.empty


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe\x00", b"name,patient\nb.jpg,p1\n", b'file\n"a\n', b"file,x\n1,2\n3,4,5,6\n"]
)
def test_what_is_no_table_of_images_is_refused(data: bytes):
    with pytest.raises(AnnotationsUnreadable, match=r"annotations\.csv") as caught:
        read_annotations(data)
    assert isinstance(caught.value, SourceError)


@pytest.mark.real_data
def test_every_row_of_the_real_table_finds_its_image():
    data = Path(os.environ["BRAIN_TEST_DATA"])
    rows = read_annotations((data / "annotations.csv").read_bytes())
    paths = [file.removeprefix("brain-tumor-mri/") for file in rows["file"]]
    result = annotate(pd.DataFrame({"key": paths, "path": paths, "sha256": ""}), rows)
    assert result.problems.empty
    assert result.table.drop(columns="plane").notna().all(axis=None)
    assert len(result.table) > 4000
