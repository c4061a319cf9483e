"""The fixtures of the pages."""

from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from brain_core.client import BrainClient
from tests.fixtures_admin import answers_of_an_admin
from tests.fixtures_dashboard import PagesFactory, ScriptedApi, api_address, open_page, scripted_api

__all__ = ["api_address", "open_page", "scripted_api"]


@pytest.fixture
def client(api_address: str) -> Iterator[BrainClient]:
    """A client of the scripted API."""
    with BrainClient(api_address, timeout_s=5) as client:
        yield client


@pytest.fixture
def admin(client: BrainClient, scripted_api: ScriptedApi) -> BrainClient:
    """The same for an admin, whom the API answers with feedback and models."""
    answers_of_an_admin(scripted_api)
    return client


@pytest.fixture
def page(open_page: PagesFactory, api_address: str) -> AppTest:
    """The Predict page of a reader who has agreed."""
    app = open_page("predict", BRAIN_DASHBOARD__API_URL=api_address)
    return app.checkbox[0].check().run()
