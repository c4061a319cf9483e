from datetime import UTC, datetime

import pandas as pd
import pytest

from brain_assets.ml.versions import data_versions, keep_version, read_version
from brain_core.errors import DataVersionUnknown

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def manifest(*labels: str) -> pd.DataFrame:
    rows = [(f"data/{index}", label, True, "own") for index, label in enumerate(labels)]
    return pd.DataFrame([*rows, ("data/bad", "glioma", False, "own")], columns=["key", "label", "decodes", "source"])


def test_there_is_none_before_the_first_build(bucket):
    assert data_versions(bucket) == []


def test_every_manifest_can_be_read_again(bucket):
    first, second = manifest("glioma"), manifest("glioma", "notumor")
    keep_version(bucket, first, "aaaa1111", NOON)
    keep_version(bucket, second, "bbbb2222", NOON)
    assert [entry.version for entry in data_versions(bucket)] == ["aaaa1111", "bbbb2222"]
    entry, table = read_version(bucket, "aaaa1111")
    assert (entry.images, entry.unreadable_images, entry.images_by_class) == (1, 1, {"glioma": 1})
    pd.testing.assert_frame_equal(table, first)


def test_the_same_content_again_is_the_version_of_then(bucket):
    keep_version(bucket, manifest("glioma"), "aaaa1111", NOON)
    again = keep_version(bucket, manifest("glioma"), "aaaa1111", datetime(2027, 1, 1, tzinfo=UTC))
    assert again.created_at == NOON
    assert len(data_versions(bucket)) == 1


def test_the_first_characters_are_enough_where_they_name_one(bucket):
    keep_version(bucket, manifest("glioma"), "aaaa1111", NOON)
    keep_version(bucket, manifest("notumor"), "aabb2222", NOON)
    assert read_version(bucket, "aaa")[0].version == "aaaa1111"
    with pytest.raises(DataVersionUnknown, match="2 begin so"):
        read_version(bucket, "aa")
    with pytest.raises(DataVersionUnknown, match="none begins so"):
        read_version(bucket, "cc")
