"""What the pages share: settings and connections, made once in the process, and how a failure is shown."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st
from sqlalchemy import Engine

from brain_core.client import BrainClient
from brain_core.database import open_engine
from brain_core.errors import BrainError
from brain_core.events import configure_logging
from brain_core.settings import Settings, load_settings
from brain_core.storage import Bucket, open_bucket
from dashboard.wording import sentence

STATUS_TIMEOUT_S = 2.0
"""Seconds that the side bar waits for the service, so that a service that hangs does not hold up the page."""

logger = logging.getLogger(__name__)


@st.cache_resource(show_spinner=False)
def settings() -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: one is unknown or has a value that is not allowed.
    """
    loaded = load_settings()
    configure_logging(loaded, "dashboard")
    return loaded


@st.cache_resource(show_spinner=False)
def client() -> BrainClient:
    """The prediction API."""
    return _client(settings().dashboard.api_timeout_s)


@st.cache_resource(show_spinner=False)
def status_client() -> BrainClient:
    """The prediction API, for questions that must not wait long."""
    return _client(STATUS_TIMEOUT_S)


def _client(timeout_s: float) -> BrainClient:
    key = settings().dashboard.api_key
    return BrainClient(settings().dashboard.api_url, timeout_s, key.get_secret_value() if key else None)


@st.cache_resource(show_spinner=False)
def engine() -> Engine:
    """The `brain` database, read-only.

    Raises:
        SettingsError: no database is set.
    """
    return open_engine(settings().database_url, read_only=True)


@st.cache_resource(show_spinner=False)
def bucket() -> Bucket:
    """The bucket of the reports."""
    return open_bucket(settings().bucket_uri)


@contextmanager
def failures_told() -> Iterator[None]:
    """Show what fails inside as a sentence in its place; the rest of the page goes on."""
    try:
        yield
    except BrainError as error:
        logger.warning("shown to the reader: %s", error, extra={"event.action": "show_failure"})
        st.error(sentence(error), icon=":material/error:")
