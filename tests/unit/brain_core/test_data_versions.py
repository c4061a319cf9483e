import pytest

from brain_core.data_versions import data_versions, read_finding, report_key, write_finding
from brain_core.errors import StorageError
from brain_core.labels import NOTICE


def test_a_finding_is_read_as_it_was_written_and_carries_the_notice(bucket):
    write_finding(bucket, "abc", "leakage", [{"label": "all", "leaked_share": 0.5}])
    assert read_finding(bucket, "abc", "leakage") == [{"label": "all", "leaked_share": 0.5}]
    assert NOTICE in bucket.read(report_key("abc", "leakage.json")).decode()


def test_a_finding_that_was_not_made_yet_is_empty(bucket):
    assert read_finding(bucket, "abc", "shortcuts") == []
    assert data_versions(bucket) == []


def test_a_damaged_index_is_an_error_that_names_it(bucket):
    bucket.write("assets/image_manifest/versions.json", b"{")
    with pytest.raises(StorageError, match=r"versions\.json"):
        data_versions(bucket)
