import pytest

from dashboard.spool import MAX_ROWS
from tests.fixtures_dashboard import alerts, said, write_events

PREDICTION = "0199c1f2-7c3e-7b4a-9d11-2f6f3a1b5c7d"


def event(second, message, service="pipeline", level="info", **fields):
    stamp = f"2026-11-20T10:{second // 60:02}:{second % 60:02}.000Z"
    return {
        "@timestamp": stamp,
        "message": message,
        "service": {"name": service},
        "log": {"level": level},
        **fields,
    }


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "home" / "spool"


def messages(app):
    return list(app.dataframe[0].value["message"])


def test_page_without_events_says_when_they_come(open_page, spool):
    app = open_page("logs")

    assert any("No events yet" in text for text in alerts(app))


def test_filters_narrow_the_table(open_page, spool):
    write_events(spool, event(1, "built"), event(2, "failed", level="error"), event(3, "served", service="serving"))
    app = open_page("logs")
    assert messages(app) == ["served", "failed", "built"]
    assert "3 events, all of them." in said(app)

    app.selectbox[0].select("pipeline").run()
    assert messages(app) == ["failed", "built"]
    app.selectbox[1].select("ERROR").run()
    assert messages(app) == ["failed"]
    app.text_input[0].input("nothing like this").run()
    assert any("Widen the filter" in text for text in alerts(app))


def test_prediction_id_finds_one_request(open_page, spool):
    write_events(spool, event(1, "mine", brain={"prediction": {"id": PREDICTION}}), event(2, "other"))
    app = open_page("logs")

    app.text_input(key="prediction").input(PREDICTION).run()

    assert messages(app) == ["mine"]


def test_table_is_bounded_and_says_so(open_page, spool):
    write_events(spool, *(event(second, "x") for second in range(MAX_ROWS + 1)))

    app = open_page("logs")

    assert len(messages(app)) == MAX_ROWS
    assert "narrow the filter" in said(app)


def test_spool_that_cannot_be_read_is_told(open_page, spool):
    (spool / "folder.ndjson").mkdir(parents=True)

    app = open_page("logs")

    assert not app.exception
    assert any("cannot be read" in text for text in alerts(app))
