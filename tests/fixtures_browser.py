"""A real Chromium for a module's tests."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright
from sqlalchemy import create_engine, text

from brain_cli.parts import dashboard_command
from brain_core.settings import Settings
from tests.fixtures_serving import wait_until
from tests.requirements import chromium, need

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "test-artifacts"
START_S = 120
PATIENCE_MS = 30_000

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
def _chromium() -> Iterator[Browser]:
    path = need(chromium, "Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def browser(_chromium: Browser) -> Iterator[Browser]:
    """Chromium without a window; skips by name, or fails under `REQUIRE=all`, where there is none.

    What a test opened is closed after it, also when it failed: left open, it would take the processor from the next.
    """
    expect.set_options(timeout=PATIENCE_MS)
    yield _chromium
    for context in _chromium.contexts:
        context.close()


def picture(page: Page, path: Path) -> None:
    """A screenshot of a whole dashboard page."""
    size = page.viewport_size or {"width": 1280, "height": 900}
    height = max(size["height"], page.evaluate(SCROLLED) + 20)
    page.set_viewport_size({"width": size["width"], "height": height})
    # Charts and tables draw themselves anew for the new size.
    page.wait_for_timeout(1000)
    page.screenshot(path=path)
    page.set_viewport_size(size)


@contextmanager
def running_pages(settings: Settings, api_url: str) -> Iterator[str]:
    """The dashboard on a free port until the end of the block; gives its URL."""
    port = free_port()
    environment = {**os.environ, **settings.as_environment(), "BRAIN_DASHBOARD__API_URL": api_url}
    with subprocess.Popen(dashboard_command(port), env=environment, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: process.poll() is not None or _is_up(url), START_S)
            yield url
        finally:
            process.terminate()


def keep_picture(page: Page, name: str) -> None:
    """A screenshot among the artefacts."""
    PICTURES.mkdir(exist_ok=True)
    picture(page, PICTURES / f"{name}.png")


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/_stcore/health", timeout=5).is_success
    except httpx.HTTPError:
        return False


def opened(browser: Browser, url: str, **context: Any) -> Page:
    """A page of a new browser session, with a reader's patience."""
    page = browser.new_context(**{"viewport": {"width": 1280, "height": 1000}, **context}).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    return page


def agree(page: Page) -> None:
    """Agree to the consent text."""
    page.get_by_text("I agree to this text").click()
    expect(page.locator("input[type=file]")).to_be_enabled()


def hand_in(page: Page, *files: tuple[str, bytes]) -> None:
    """Upload files of these names and contents; a large one is faster from a folder, with `set_input_files`."""
    payloads = [{"name": name, "mimeType": "image/jpeg", "buffer": data} for name, data in files]
    page.locator("input[type=file]").set_input_files(payloads)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def api_port() -> int:
    """Where the pages of a module's tests find the API of each."""
    return free_port()


@pytest.fixture(scope="module")
def all_pages_url(api_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard of a module's tests."""
    settings = Settings(_env_file=None, home=tmp_path_factory.mktemp("pages"), upload={"max_bytes": 200_000})
    with running_pages(settings, f"http://127.0.0.1:{api_port}") as url:
        yield url


@pytest.fixture
def page(browser: Browser, all_pages_url: str, api: str) -> Page:
    """The dashboard of a new browser session; the module's fixture `api` is the prediction API behind it."""
    return opened(browser, all_pages_url)


@pytest.fixture
def rows(database_url: str) -> Iterator[Callable[..., Sequence[Any]]]:
    """Asks the test's own database."""
    engine = create_engine(database_url)

    def ask(query: str, **values: Any) -> Sequence[Any]:
        with engine.connect() as connection:
            return connection.execute(text(query), values).all()

    yield ask
    engine.dispose()


def serious(page: Page) -> list[str]:
    """What axe-core finds that keeps people out."""
    page.wait_for_timeout(1000)
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html'][:150]} {node['any'][0]['message'][:120] if node['any'] else ''}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
