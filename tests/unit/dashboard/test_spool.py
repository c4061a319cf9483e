import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brain_core.errors import StorageError
from dashboard.spool import COLUMNS, EventFilter, read_events, services
from tests.fixtures_dashboard import write_events

EVERYTHING = EventFilter()


def event(second: int = 0, **fields):
    """An event as `brain_core.events` writes it: nested, with some names dotted."""
    defaults = {"message": "hello", "log": {"level": "info"}, "service": {"name": "serving"}}
    return {"@timestamp": f"2026-11-20T10:00:{second:02}.000Z", **defaults, **fields}


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


def messages(spool, **wanted):
    return list(read_events(spool, EventFilter(**wanted))["message"])


def test_events_come_newest_first_with_all_columns(spool):
    write_events(spool, event(1, message="older"), event(2, message="newer", brain={"prediction": {"id": "p"}}))

    frame = read_events(spool, EVERYTHING)

    assert list(frame.columns) == list(COLUMNS)
    assert list(frame["message"]) == ["newer", "older"]
    assert frame["time"][0].isoformat() == "2026-11-20T10:00:02+00:00"
    assert frame["prediction_id"][0] == "p"


def test_events_of_the_same_time_come_newest_id_first(spool):
    write_events(spool, event(message="first", event={"id": "1"}), event(message="second", event={"id": "2"}))

    assert messages(spool) == ["second", "first"]


def test_dotted_names_are_read_as_nested_ones_are(spool):
    write_events(spool, {"@timestamp": "2026-11-20T10:00:00Z", "log.level": "error", "service.name": "pipeline"})

    row = read_events(spool, EVERYTHING).iloc[0]

    assert (row["level"], row["service"]) == ("error", "pipeline")


def test_filters_narrow_and_work_together(spool):
    write_events(
        spool,
        event(1, message="Predicted 100%", brain={"prediction": {"id": "abc"}}),
        event(2, message="refused", log={"level": "warning"}, error={"message": "In colour"}),
        event(3, message="drawn", service={"name": "dashboard"}),
    )
    assert messages(spool, service="dashboard") == ["drawn"]
    assert messages(spool, level="WARNING") == ["refused"]
    assert messages(spool, text="PREDICTED 100%") == ["Predicted 100%"]
    assert messages(spool, text="colour") == ["refused"]
    assert messages(spool, prediction_id=" ABC ") == ["Predicted 100%"]
    assert messages(spool, service="serving", level="WARNING", text="hello") == []


def test_text_is_no_pattern_and_no_sql(spool):
    write_events(spool, event(message="it's 5_0"))

    assert messages(spool, text="5%0") == messages(spool, text="5.0") == []
    assert messages(spool, text="it's") == ["it's 5_0"]
    assert messages(spool, service="' OR 1=1 --") == []


def test_number_of_rows_is_bounded(spool):
    write_events(spool, *(event(second) for second in range(9)))

    assert len(read_events(spool, EVERYTHING, limit=4)) == 4


def test_half_written_last_line_is_left_out(spool):
    path = write_events(spool, event(message="whole"))
    with path.open("a") as file:
        file.write(json.dumps(event(message="half"))[:40])

    assert messages(spool) == ["whole"]


@pytest.mark.parametrize("exists", [True, False])
def test_empty_or_absent_spool_has_no_events(spool, exists):
    if exists:
        write_events(spool)

    assert read_events(spool, EVERYTHING).empty
    assert list(read_events(spool, EVERYTHING).columns) == list(COLUMNS)
    assert services(spool) == []


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.binary(max_size=80))
def test_junk_beside_an_event_does_not_hide_it(spool, junk):
    path = write_events(spool, event(message="whole"))
    path.write_bytes(path.read_bytes().splitlines()[0] + b"\n" + junk + b"\n")

    assert "whole" in messages(spool)


def test_services_are_those_that_logged(spool):
    write_events(spool, event(), event(service={"name": "dashboard"}), {"message": "of nobody"})

    assert services(spool) == ["dashboard", "serving"]


def test_spool_that_cannot_be_read_is_a_storage_error(spool):
    (spool / "folder.ndjson").mkdir(parents=True)

    with pytest.raises(StorageError, match="cannot be read"):
        read_events(spool, EVERYTHING)
