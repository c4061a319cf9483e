"""What the tests on the running platform share."""

import pytest
from playwright.sync_api import Browser, Page

from tests.fixtures_browser import opened
from tests.fixtures_platform import RunningPlatform


@pytest.fixture
def page(browser: Browser, platform: RunningPlatform) -> Page:
    """The platform's dashboard in a new browser session."""
    return opened(browser, platform.url("DASHBOARD"))
