from datetime import UTC, datetime

import pandas as pd
import pytest

from brain_assets.ml.versions import keep_version, manifest_version, read_version
from brain_core.data_versions import data_versions
from brain_core.errors import DataVersionUnknown

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def manifest(*labels: str) -> pd.DataFrame:
    rows = [(f"data/{index}", label, True, "own", f"{index:064x}") for index, label in enumerate(labels)]
    bad = ("data/bad", "glioma", False, "own", "0")
    return pd.DataFrame([*rows, bad], columns=["key", "label", "decodes", "source", "sha256"])


def test_there_is_none_before_the_first_build(bucket):
    assert data_versions(bucket) == []


def test_every_manifest_can_be_read_again(bucket):
    first, second = manifest("glioma"), manifest("glioma", "notumor")
    kept = keep_version(bucket, first, NOON)
    assert kept.version == manifest_version(first) != keep_version(bucket, second, NOON).version
    assert [entry.version for entry in data_versions(bucket)] == [manifest_version(first), manifest_version(second)]
    entry, table = read_version(bucket, kept.version)
    assert (entry.images, entry.unreadable_images, entry.images_by_class) == (1, 1, {"glioma": 1})
    pd.testing.assert_frame_equal(table, first)


def test_the_same_content_again_is_the_version_of_then(bucket):
    keep_version(bucket, manifest("glioma"), NOON)
    again = keep_version(bucket, manifest("glioma"), datetime(2027, 1, 1, tzinfo=UTC))
    assert again.created_at == NOON
    assert len(data_versions(bucket)) == 1


def test_the_first_characters_are_enough_where_they_name_one(bucket):
    versions = [keep_version(bucket, manifest("glioma", *["notumor"] * count), NOON).version for count in range(40)]
    assert read_version(bucket, versions[7][:12])[0].version == versions[7]
    with pytest.raises(DataVersionUnknown, match="40 begin so"):
        read_version(bucket, "")
    with pytest.raises(DataVersionUnknown, match="none begins so"):
        read_version(bucket, "x")
