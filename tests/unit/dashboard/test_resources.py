import logging

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from brain_core.errors import SettingsError, StorageError
from dashboard import resources
from tests.fixtures_dashboard import alerts


def failing_page():
    import streamlit as st

    from brain_core.errors import StorageError
    from dashboard.resources import failures_told

    with failures_told():
        raise StorageError("The bucket is away.")
    st.markdown("The rest goes on.")


def test_failure_is_shown_in_its_place_and_the_page_goes_on():
    app = AppTest.from_function(failing_page, default_timeout=60).run()

    assert [text for text in alerts(app) if text.startswith("The bucket is away.")]
    assert app.markdown[0].value == "The rest goes on."


def test_failure_that_was_shown_is_logged(caplog):
    with caplog.at_level(logging.WARNING, logger="dashboard"), resources.failures_told():
        raise StorageError("The bucket is away.")

    assert "The bucket is away." in caplog.text


def test_fault_of_our_own_is_not_hidden():
    with pytest.raises(ZeroDivisionError), resources.failures_told():
        _ = 1 / 0


def test_settings_are_read_once(open_page, monkeypatch):
    first = resources.settings()
    monkeypatch.setenv("BRAIN_DASHBOARD__PORT", "9999")

    assert resources.settings() is first
    st.cache_resource.clear()
    assert resources.settings().dashboard.port == 9999


def test_database_that_is_not_set_is_a_settings_error(open_page):
    with pytest.raises(SettingsError, match="BRAIN_DATABASE__URL"):
        resources.engine()
