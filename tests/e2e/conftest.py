"""What the tests on the running platform share."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.fixtures_browser import opened
from tests.fixtures_platform import RunningPlatform


@pytest.fixture
def page(browser: Browser, platform: RunningPlatform) -> Iterator[Page]:
    """The platform's dashboard in a new browser session."""
    page = opened(browser, platform.url("DASHBOARD"))
    yield page
    page.context.close()
