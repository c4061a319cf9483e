import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brain_assets.ml.duplicates import duplicate_groups
from brain_assets.ml.shortcuts import AUDIT_COLUMNS, MIN_GROUPS, SHORTCUTS, image_traits, shortcut_audit, shortcut_plot
from brain_assets.ml.sources import Source
from brain_assets.ml.statistics import image_statistics
from brain_core.descriptors import MARGIN_NAMES
from brain_core.labels import CLASSES
from brain_core.storage import LocalBucket
from tests.fixtures_images import ingest_all

COPIES = 6
Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def tables(groups_of_class: int = 15, copies: int = COPIES, classes: tuple[str, ...] = CLASSES) -> Tables:
    """Manifest, statistics and groups of a set in which nothing but the content tells the class."""
    count = len(classes) * groups_of_class * copies
    group = np.arange(count) // copies
    keys = [f"data/Training/x/image-{number:05d}.jpg" for number in np.random.default_rng(0).permutation(count)]
    columns = {"width": 200, "height": 100, "size_bytes": 5_000, "label": np.array(classes)[group % len(classes)]}
    manifest = pd.DataFrame({"key": keys, **columns})
    traits = {"quantisation": "aa", "subsampling": "grey", "is_progressive": False, "has_exif": False}
    statistics = pd.DataFrame({"key": keys, **traits, **dict.fromkeys(MARGIN_NAMES, 0.1)})
    return manifest, statistics, pd.DataFrame({"key": keys, "group": group, "upright_group": group})


def audited(tables: Tables) -> pd.DataFrame:
    return shortcut_audit(*tables).set_index("shortcut")


def test_a_set_without_shortcuts_has_none_and_all_is_at_chance():
    audit = shortcut_audit(*tables())
    assert tuple(audit.columns) == AUDIT_COLUMNS
    assert audit["shortcut"].tolist() == list(SHORTCUTS)
    assert audit[["balanced_accuracy", "low", "high", "chance"]].to_numpy() == pytest.approx(0.25)
    assert not audit["is_shortcut"].any()
    assert set(audit["note"]) == {"The same in every image."}


def test_a_planted_quantisation_table_is_found_and_nothing_else():
    manifest, statistics, groups = tables()
    statistics["quantisation"] = np.where(manifest["label"] == "glioma", "bb", "aa")
    audit = audited((manifest, statistics, groups))
    found = audit.index[audit["is_shortcut"]].tolist()
    assert found == ["jpeg_quantisation", "all_in_picture", "all"]
    row = audit.loc["jpeg_quantisation"]
    assert row["low"] <= row["balanced_accuracy"] <= row["high"] <= 0.5
    assert row["chance"] == pytest.approx(0.25, abs=0.05)
    assert row["chance"] <= row["chance_high"] < row["low"]


@pytest.mark.parametrize(
    ("shortcut", "table", "column", "values"),
    [
        ("image_size", 0, "width", [200, 210, 220, 230]),
        ("bytes_per_pixel", 0, "size_bytes", [1000, 2000, 3000, 4000]),
        ("jpeg_encoding", 1, "subsampling", ["4:4:4", "4:2:2", "4:2:0", "grey"]),
        ("dark_border", 1, "margin_top", [0.0, 0.1, 0.2, 0.3]),
        ("file_name", 0, "key", ["gl_", "me_", "no_", "pi_"]),
    ],
)
def test_a_trait_that_tells_every_class_is_found(shortcut, table, column, values):
    all_tables = tables()
    planted = all_tables[0]["label"].map(dict(zip(CLASSES, values, strict=True)))
    if column == "key":
        planted = planted + all_tables[0]["key"].str.rpartition("-")[2]
        for each in all_tables:
            each["key"] = planted
    else:
        all_tables[table][column] = planted
    row = audited(all_tables).loc[shortcut]
    assert row["balanced_accuracy"] == 1.0
    assert row["is_shortcut"]


def test_turned_copies_that_only_one_class_has_are_found():
    manifest, statistics, groups = tables()
    is_turned = (manifest["label"] == "pituitary") & (np.arange(len(manifest)) % 2 == 0)
    groups["upright_group"] = groups["group"] * 2 + is_turned
    audit = audited((manifest, statistics, groups))
    assert audit.loc[["turned_copies", "upright_copies"], "is_shortcut"].all()
    assert audit.loc["turned_copies", "balanced_accuracy"] == pytest.approx(0.5, abs=0.02)


def test_what_only_tells_the_group_is_no_shortcut():
    # A tree that saw a copy of the image would be right every time.
    manifest, statistics, groups = tables()
    sizes = np.random.default_rng(1).permutation(groups["group"].max() + 1)
    manifest["size_bytes"] = 1_000 + 100 * sizes[groups["group"]]
    row = audited((manifest, statistics, groups)).loc["bytes_per_pixel"]
    assert row["balanced_accuracy"] < 0.5
    assert not row["is_shortcut"]


def test_the_audit_depends_on_the_seed_but_not_on_the_order_of_the_rows():
    manifest, statistics, groups = tables()
    manifest["size_bytes"] = np.random.default_rng(2).integers(1_000, 9_000, len(manifest))
    audit = shortcut_audit(manifest, statistics, groups)
    shuffled = shortcut_audit(manifest[::-1], statistics.sample(frac=1, random_state=0), groups)
    pd.testing.assert_frame_equal(audit, shuffled)
    assert not audit.equals(shortcut_audit(manifest, statistics, groups, seed=1))


def test_a_small_set_and_one_without_a_class_are_not_assessed():
    small = shortcut_audit(*tables(groups_of_class=MIN_GROUPS - 1))
    assert small["balanced_accuracy"].isna().all()
    assert not small["is_shortcut"].any()
    assert set(small["note"]) == {"Not assessed: glioma has 9 groups of copies, 10 are needed."}
    three = shortcut_audit(*tables(classes=CLASSES[:3]))
    assert set(three["note"]) == {"Not assessed: pituitary has 0 groups of copies, 10 are needed."}
    assert shortcut_audit(*(table[:0] for table in tables()))["balanced_accuracy"].isna().all()


def test_traits_count_copies_and_keep_the_pattern_of_the_name():
    keys = ["data/Training/glioma/Tr-gl_0012.jpg", "a/b2.jpg", "a/c3-14.png"]
    manifest = pd.DataFrame({"key": keys, "label": "glioma", "width": 200, "height": 100, "size_bytes": 5_000})
    statistics = tables()[1][:3].assign(key=keys)
    groups = pd.DataFrame({"key": keys, "group": [0, 0, 0], "upright_group": [0, 0, 1]})
    traits = image_traits(manifest, statistics, groups).set_index("key").loc[keys]
    assert traits["name_pattern"].tolist() == ["Tr-gl_#.jpg", "b#.jpg", "c#-#.png"]
    assert traits["turned_copies"].tolist() == [1, 1, 2]
    assert traits["upright_copies"].tolist() == [1, 1, 0]
    assert traits["bytes_per_pixel"].tolist() == [0.25] * 3
    assert traits["aspect"].tolist() == [2.0] * 3


def test_the_plot_is_red_where_there_is_a_shortcut():
    manifest, statistics, groups = tables()
    clean = shortcut_audit(manifest, statistics, groups)
    statistics["quantisation"] = np.where(manifest["label"] == "glioma", "bb", "aa")
    dirty = shortcut_audit(manifest, statistics, groups)
    assert red_pixels(shortcut_plot(clean)) == 0 < red_pixels(shortcut_plot(dirty))


def test_a_set_that_was_not_assessed_has_a_plot_that_says_so():
    audit = shortcut_audit(*tables(groups_of_class=2))
    assert red_pixels(shortcut_plot(audit)) == 0
    assert shortcut_plot(audit) != shortcut_plot(
        audit.assign(balanced_accuracy=0.5, low=0.4, high=0.6, chance_high=0.3)
    )


def top_of_the_frame(picture: bytes) -> int:
    """The first row of pixels that is mostly dark."""
    grey = np.asarray(Image.open(io.BytesIO(picture)).convert("L"))
    return int(np.argmax((grey < 128).mean(axis=1) > 0.5))


def test_a_note_has_a_line_of_its_own_above_the_plot():
    audit = shortcut_audit(*tables(groups_of_class=2))
    assert top_of_the_frame(shortcut_plot(audit, "Drawn, not real.")) > top_of_the_frame(shortcut_plot(audit)) + 10


@pytest.mark.real_data
def test_real_file_names_tell_the_class_and_the_size_does_not(real_subset: Source, bucket: LocalBucket):
    manifest = ingest_all(real_subset, bucket)
    statistics = image_statistics(bucket, manifest)
    audit = audited((manifest, statistics, duplicate_groups(statistics)))
    assert audit.loc["file_name", "balanced_accuracy"] > 0.9
    assert audit.loc[["file_name", "dark_border", "all_in_picture"], "is_shortcut"].all()
    assert not audit.loc["image_size", "is_shortcut"]


def red_pixels(png: bytes) -> int:
    red, green, blue = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=int).reshape(-1, 3).T
    return int(((red > 180) & (green < 100) & (blue < 100)).sum())
