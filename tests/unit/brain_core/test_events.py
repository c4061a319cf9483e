import json
import logging
import math
import subprocess
import sys
import warnings
from datetime import datetime
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from brain_core import events
from brain_core.errors import SettingsError
from brain_core.events import configure_logging
from brain_core.settings import Settings

logger = logging.getLogger("serving.routes")


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path)


def spooled(settings):
    files = sorted(settings.spool_path.glob("*.ndjson"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_event_has_the_fields_that_delivery_and_search_need(settings):
    configure_logging(settings, "serving")
    logger.info("predicted %s", "glioma", extra={"event.action": "predict", "brain.prediction.confidence": 0.5})
    [event] = spooled(settings)
    assert event["message"] == "predicted glioma"
    assert UUID(event["event"]["id"]).version == 7
    assert event["event"]["dataset"] == "brain.serving"
    assert event["event"]["action"] == "predict"
    assert event["service"] == {"name": "serving", "environment": "development"}
    assert event["brain"] == {"prediction": {"confidence": 0.5}}
    assert event["log.level"] == "info"
    assert "original" not in event["log"]
    age = datetime.now().astimezone() - datetime.fromisoformat(event["@timestamp"])
    assert event["@timestamp"].endswith("Z")
    assert abs(age.total_seconds()) < 60


def test_standard_output_and_spool_hold_the_same_lines(settings, capsys):
    configure_logging(settings, "serving")
    logger.warning("one")
    logger.error("two")
    [file] = settings.spool_path.glob("serving-*.ndjson")
    assert capsys.readouterr().out == file.read_text()


def test_standard_output_is_left_to_a_person_when_asked(settings, capsys):
    configure_logging(settings, "cli", to_stdout=False)
    logger.warning("one")
    assert capsys.readouterr().out == ""
    assert len(spooled(settings)) == 1


def test_own_packages_log_from_the_set_level_and_others_from_warning(settings):
    configure_logging(settings, "serving")
    logging.getLogger("brain_core.x").info("ours")
    logging.getLogger("brain_core.x").debug("too fine")
    logging.getLogger("urllib3").info("theirs")
    logging.getLogger("urllib3").warning("their warning")
    assert [event["message"] for event in spooled(settings)] == ["ours", "their warning"]


def test_configuring_again_changes_nothing(settings):
    configure_logging(settings, "dashboard")
    configure_logging(settings, "dashboard")
    logger.info("once")
    assert len(spooled(settings)) == 1


def test_configuring_for_another_service_replaces_the_first(settings):
    configure_logging(settings, "dashboard")
    configure_logging(settings, "serving")
    logger.info("once")
    assert [event["service"]["name"] for event in spooled(settings)] == ["serving"]


def test_python_warnings_become_events(settings):
    configure_logging(settings, "pipeline")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old function", stacklevel=1)
    assert "old function" in spooled(settings)[0]["message"]


def test_exception_is_logged_with_its_trace(settings):
    configure_logging(settings, "serving")
    try:
        raise ValueError("bad")
    except ValueError:
        logger.exception("failed")
    [event] = spooled(settings)
    assert event["error"]["type"] == "ValueError"
    assert "test_events.py" in event["error"]["stack_trace"]


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_values_that_are_not_json_are_described_and_never_shown(settings):
    configure_logging(settings, "serving")
    values = {
        "x.bytes": b"image bytes",
        "x.hostile": Hostile(),
        "x.nan": math.nan,
        "x.numpy": np.float32(0.5),
        "x.path": Path("a/b"),
        "x.array": np.zeros(3),
        "x.nested": {"list": [1, (2, {3})]},
        "x.surrogate": "\ud800",
    }
    logger.info("odd", extra=values)
    [event] = spooled(settings)
    assert event["x"] == {
        "bytes": "<bytes>",
        "hostile": "<Hostile>",
        "numpy": 0.5,
        "nan": None,
        "path": "a/b",
        "array": "<ndarray>",
        "nested": {"list": [1, [2, [3]]]},
        "surrogate": "?",
    }


def test_fields_that_contradict_each_other_lose_the_fields_but_not_the_event(settings):
    configure_logging(settings, "serving")
    endless: dict[str, object] = {}
    endless["self"] = endless
    logger.info("kept", extra={"event": "not an object"})
    logger.info("kept", extra={"x": endless})
    assert [event["message"] for event in spooled(settings)] == ["kept", "kept"]
    assert all("cannot be logged" in event["error"]["message"] for event in spooled(settings))
    assert len({event["event"]["id"] for event in spooled(settings)}) == 2


def test_message_that_lacks_its_arguments_is_kept():
    record = logger.makeRecord("serving", logging.INFO, "f.py", 1, "kept %s %s", ("one argument",), None)
    event = json.loads(events.EventFormatter("serving", "test").format(record))
    assert event["message"] == "kept %s %s"
    assert "not enough arguments" in event["error"]["message"]


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.from_regex(r"(event|brain|x)(\.[a-z]{1,3}){0,3}", fullmatch=True)


@given(message=st.text(), extra=st.dictionaries(names, json_like, max_size=4))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_whatever_is_logged_is_one_valid_line(settings, message, extra):
    formatter = events.EventFormatter("serving", "test")
    record = logger.makeRecord("serving", logging.INFO, "f.py", 1, message, None, None, extra=extra)
    line = formatter.format(record)
    assert "\n" not in line
    event = json.loads(line, parse_constant=pytest.fail)
    assert UUID(event["event"]["id"])
    assert event["service"] == {"name": "serving", "environment": "test"}


def test_a_full_file_is_followed_by_another(settings, monkeypatch):
    monkeypatch.setattr(events, "MAX_FILE_BYTES", 1000)
    configure_logging(settings, "serving")
    for number in range(6):
        logger.info("event %d", number)
    files = sorted(settings.spool_path.glob("*.ndjson"))
    assert len(files) > 1
    assert all(file.stat().st_size < 2000 for file in files)
    assert [event["message"] for event in spooled(settings)] == [f"event {number}" for number in range(6)]


def test_beyond_the_most_files_the_oldest_is_given_up(settings, monkeypatch):
    monkeypatch.setattr(events, "MAX_FILE_BYTES", 1)
    monkeypatch.setattr(events, "MAX_FILES", 3)
    configure_logging(settings, "serving")
    for number in range(6):
        logger.info("event %d", number)
    assert [event["message"] for event in spooled(settings)] == ["event 3", "event 4", "event 5"]


def test_full_disk_leaves_standard_output(settings, capsys, monkeypatch):
    configure_logging(settings, "serving")
    monkeypatch.setattr(logging, "raiseExceptions", False)
    settings.spool_path.rmdir()
    logger.info("still seen")
    assert "still seen" in capsys.readouterr().out


def test_spool_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "spool").write_text("a file in the way")
    with pytest.raises(SettingsError, match="BRAIN_HOME: the log spool"):
        configure_logging(Settings(home=tmp_path), "serving")


def test_a_killed_process_leaves_every_finished_event(settings):
    code = (
        "import logging, os, pathlib, sys; from brain_core.events import configure_logging;"
        "from brain_core.settings import Settings;"
        "configure_logging(Settings(home=pathlib.Path(sys.argv[1])), 'serving');"
        "[logging.getLogger('serving').info('%d', n) for n in range(100)]; os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(settings.home)], check=False, stdout=subprocess.DEVNULL)
    assert [event["message"] for event in spooled(settings)] == [str(n) for n in range(100)]
