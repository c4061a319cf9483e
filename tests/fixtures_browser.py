"""A real Chromium for a module's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.requirements import chromium, need

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SCROLLED = "document.querySelector('[data-testid=stMain]')?.scrollHeight ?? 0"
"""Height of a dashboard page: it scrolls inside the window, so that a full-page screenshot would cut it."""


# Not for the session: while Playwright runs, its event loop runs, and no other test may use `asyncio.run`.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window; skips by name, or fails under `REQUIRE=all`, where there is none."""
    path = need(chromium, "Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def picture(page: Page, path: Path) -> None:
    """A screenshot of a whole dashboard page."""
    size = page.viewport_size or {"width": 1280, "height": 900}
    height = max(size["height"], page.evaluate(SCROLLED) + 20)
    page.set_viewport_size({"width": size["width"], "height": height})
    # Charts and tables draw themselves anew for the new size.
    page.wait_for_timeout(1000)
    page.screenshot(path=path)
    page.set_viewport_size(size)
