import json

import pytest

from brain_cli.processes import ProcessId
from brain_cli.record import FILE_NAME, PartRecord, PlatformRecord, read_record, remove_record, write_record

RECORD = PlatformRecord(
    supervisor=ProcessId(pid=10, created_at=1.5),
    phase="running",
    parts=(
        PartRecord(name="web", process=ProcessId(pid=11, created_at=2.5), title="Dagit", url="http://127.0.0.1:3000"),
    ),
)


def test_what_was_written_is_read(tmp_path):
    write_record(tmp_path, RECORD)
    assert read_record(tmp_path) == RECORD
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_record_holds_no_secret(tmp_path):
    write_record(tmp_path, RECORD)
    assert set(json.loads((tmp_path / FILE_NAME).read_text())) == {"supervisor", "phase", "parts"}


def test_no_record_is_none(tmp_path):
    assert read_record(tmp_path) is None
    write_record(tmp_path, RECORD)
    remove_record(tmp_path)
    remove_record(tmp_path)
    assert read_record(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"supervisor": {"pid": "x"}}'])
def test_a_damaged_record_is_none(tmp_path, content):
    (tmp_path / FILE_NAME).write_text(content)
    assert read_record(tmp_path) is None


def test_the_address_of_a_part_is_found_by_its_title():
    assert RECORD.url_of("Dagit") == "http://127.0.0.1:3000"
    assert RECORD.url_of("MLflow") == ""
