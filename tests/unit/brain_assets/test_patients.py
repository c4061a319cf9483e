import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brain_assets.ml import patients as module
from brain_assets.ml.patients import (
    PUBLIC_COLUMNS,
    PUBLIC_SLICES_FILE,
    components,
    patients_of,
    public_patients,
    public_slices,
    with_public,
)
from brain_assets.ml.phantoms import draw_slice
from brain_core.descriptors import thumbnail
from brain_core.imaging import decode, encode_jpeg
from tests.fixtures_images import distinct_pixels, statistics_of

SLICES = {"data/Training/glioma/Tr-gl_0001.jpg": 1, "data/Testing/glioma/Te-gl_0002.JPG": 2}


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """A carried table of two slices."""
    annotations = pd.DataFrame({"key": list(SLICES), "slice": ["11", "12"], "patient": ["p7", "p8"]})
    table = public_slices(annotations, statistics_of({key: distinct_pixels(seed) for key, seed in SLICES.items()}))
    monkeypatch.setattr(module, "_public_slices", lambda: table)
    return table


def test_carried_table_is_small_sorted_and_complete():
    table = pd.read_parquet(PUBLIC_SLICES_FILE)
    assert PUBLIC_SLICES_FILE.stat().st_size < 300_000
    assert table.columns.tolist() == ["name", "slice", "patient", "hash"]
    assert table["name"].is_monotonic_increasing
    assert table["name"].is_unique
    assert table["hash"].map(len).eq(16).all()
    assert table.groupby("slice")["patient"].nunique().max() == 1


def test_copy_of_another_size_and_quality_is_recognised_wherever_it_lies(carried: pd.DataFrame):
    smaller = np.asarray(Image.fromarray(distinct_pixels(1)).resize((50, 50)))
    recompressed = decode(encode_jpeg(distinct_pixels(2), 50)).grey
    found = public_patients(statistics_of({"mine/tr-gl_0001.png": smaller, "mine/x/TE-GL_0002.jpg": recompressed}))
    assert found.columns.tolist() == list(PUBLIC_COLUMNS)
    assert found.to_numpy().tolist() == [
        ["mine/tr-gl_0001.png", "11", "figshare-7"],
        ["mine/x/TE-GL_0002.jpg", "12", "figshare-8"],
    ]


def test_other_images_of_the_same_name_and_the_same_image_of_another_name_do_not_match(carried: pd.DataFrame):
    others = {"Tr-gl_0001.jpg": distinct_pixels(3), "Te-gl_0002.jpg": distinct_pixels(1)}
    assert public_patients(statistics_of({**others, "Tr-gl_0009.jpg": distinct_pixels(1)})).empty
    assert public_patients(statistics_of({})).columns.tolist() == list(PUBLIC_COLUMNS)


def test_phantoms_with_public_names_never_match():
    names = pd.read_parquet(PUBLIC_SLICES_FILE)["name"].sample(40, random_state=0)
    drawn = {f"{name}.jpg": draw_slice(index, 0) for index, name in enumerate(names)}
    assert public_patients(statistics_of(drawn)).empty


def test_public_patients_complete_what_people_annotated():
    own = pd.DataFrame({"key": list("abc"), "patient": ["p1", None, None], "slice": [None, None, "9"], "x0": 0.5})
    public = pd.DataFrame({"key": ["b", "a"], "slice": ["1", "2"], "patient": ["figshare-1", "figshare-2"]})
    rows = with_public(own, public)
    assert rows["patient"].tolist() == ["p1", "figshare-1", None]
    assert rows["slice"].tolist() == ["2", "1", "9"]
    assert rows["x0"].tolist() == [0.5] * 3
    both = patients_of(rows).to_numpy().tolist()
    assert sorted(both) == [["a", "figshare-2"], ["a", "p1"], ["b", "figshare-1"]]


def test_nothing_known_is_no_patient():
    own = pd.DataFrame({"key": ["a"], "patient": [None], "slice": [None]})
    assert patients_of(with_public(own, pd.DataFrame(columns=list(PUBLIC_COLUMNS)))).empty


def test_components_join_copies_and_patients_in_chains():
    groups = pd.DataFrame({"key": list("abcdef"), "group": [0, 0, 1, 2, 3, 4]})
    patients = pd.DataFrame([("b", "p"), ("c", "p"), ("c", "q"), ("e", "q"), ("d", None), ("zz", "p")])
    table = components(groups, patients.set_axis(["key", "patient"], axis=1))
    assert table["component"].tolist() == [0, 0, 0, 1, 0, 2]
    assert table[["key", "group"]].equals(groups)


def test_components_without_patients_are_the_groups_or_the_related_ones():
    groups = pd.DataFrame({"key": list("abcd"), "group": [0, 1, 1, 2]})
    assert components(groups)["component"].tolist() == [0, 1, 1, 2]
    assert components(groups.assign(related_group=[0, 1, 1, 0]))["component"].tolist() == [0, 1, 1, 0]
    assert components(groups[:0])["component"].tolist() == []


def test_components_do_not_depend_on_the_row_order():
    random = np.random.default_rng(0)
    groups = pd.DataFrame({"key": [f"{n:03d}" for n in range(100)], "group": random.integers(0, 60, 100)})
    patients = pd.DataFrame({"key": groups["key"], "patient": random.integers(0, 40, 100).astype(str)})
    table = components(groups, patients)
    shuffled = components(groups.sample(frac=1, random_state=1), patients.sample(frac=1, random_state=2))
    assert shuffled.equals(table)
    assert table["component"].drop_duplicates().tolist() == list(range(table["component"].nunique()))


@pytest.mark.real_data
@pytest.mark.parametrize(("side", "quality"), [(512, 90), (150, 50), (96, 75)])
def test_real_slices_are_recognised_after_resizing_and_recompression(side: int, quality: int):
    root = Path(os.environ["BRAIN_TEST_DATA"])
    truth = pd.read_csv(root / "annotations.csv").iloc[::20].set_index("file")
    thumbnails = []
    for file in truth.index:
        grey = Image.fromarray(decode((root / file).read_bytes()).grey)
        copy = np.asarray(grey.resize((side, side), Image.Resampling.BICUBIC))
        thumbnails.append(thumbnail(decode(encode_jpeg(copy, quality)).grey).tobytes())
    found = public_patients(pd.DataFrame({"key": truth.index, "thumbnail": thumbnails})).set_index("key")
    assert len(found) >= 0.99 * len(truth)
    assert (found["slice"].astype(int) == truth.loc[found.index, "figshare_slice"]).all()
    patients = truth.loc[found.index, "patient"].str.removeprefix("p").astype(int)
    assert (found["patient"] == "figshare-" + patients.astype(str)).all()
