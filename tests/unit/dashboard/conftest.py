"""The fixtures of the pages."""

import pytest
from streamlit.testing.v1 import AppTest

from tests.fixtures_dashboard import PagesFactory, api_address, open_page, scripted_api

__all__ = ["api_address", "open_page", "scripted_api"]


@pytest.fixture
def page(open_page: PagesFactory, api_address: str) -> AppTest:
    """The Predict page of a reader who has agreed."""
    app = open_page("predict", BRAIN_DASHBOARD__API_URL=api_address)
    return app.checkbox[0].check().run()
