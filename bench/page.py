"""How fast the Predict page is for a reader: first paint, upload to result, and the page's own share of that.

    python bench/page.py [--images DIR]

A real Chromium, the dashboard, the prediction API with the bundled model, PostgreSQL and a bucket run on this machine.
The API's share is the time of the same upload through the typed client. Prints a table, then one JSON line; exits 1
when a target is missed. Without `--images` (JPEG files) the synthetic sample's slices are uploaded.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from load_generator import free_port, running
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.table import Table
from serving_product import product_environment, running_product, stores

from brain_assets.ml.pretrained import PRETRAINED_FOLDER
from brain_assets.ml.publishing import BUNDLE_FOLDER
from brain_assets.ml.sources import SampleSource
from brain_cli.parts import dashboard_command
from brain_core.client import BrainClient
from brain_core.cores import usable_cores

VISITS = 7
UPLOADS = 15
AT_MOST_MS = {"first contentful paint": 2000.0, "upload to result": 1000.0, "the page's own share": 300.0}
SEED = 21


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--images", type=Path, help="a folder of JPEG files")
    images = pictures(parser.parse_args().images)
    with tempfile.TemporaryDirectory(prefix="bench-page-") as folder:
        figures = measure(Path(folder), images)
    missed = [name for name, most in AT_MOST_MS.items() if figures[name] > most]
    table = Table("median of one reader", "ms", "at most")
    for name, value in figures.items():
        table.add_row(name, f"{value:.0f}", f"{AT_MOST_MS[name]:.0f}" if name in AT_MOST_MS else "")
    Console().print(table)
    circumstances = {"cores": usable_cores(), "images": len(images), "load_average": os.getloadavg()[0]}
    print(json.dumps({**figures, **circumstances, "missed": missed}))
    return 1 if missed else 0


def pictures(folder: Path | None) -> list[bytes]:
    """Images that differ, twice as many as uploads: the API is asked about others than the page."""
    if folder is not None:
        return [path.read_bytes() for path in sorted(folder.rglob("*.jp*g"))[: 2 * UPLOADS]]
    source = SampleSource(count=2 * UPLOADS, seed=SEED)
    return [source.read(image) for image in source.list()]


def measure(folder: Path, images: Sequence[bytes]) -> dict[str, float]:
    """Milliseconds by what was measured."""
    half = len(images) // 2
    with (
        stores(PRETRAINED_FOLDER / BUNDLE_FOLDER, folder / "home") as kept,
        running_product(kept, workers=1, threads=usable_cores()) as product,
        running_pages(folder, product.url) as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(args=["--no-sandbox", "--disable-gpu"], executable_path=chromium())
        first_paint = statistics.median(paint_ms(browser, url) for _ in range(VISITS))
        shown = statistics.median(upload_ms(browser, url, images[:half]))
        asked = statistics.median(ask_ms(product.url, images[half:]))
        browser.close()
    return {
        "first contentful paint": first_paint,
        "upload to result": shown,
        "the API's share": asked,
        "the page's own share": shown - asked,
    }


def chromium() -> str | None:
    """The system's Chromium; None: Playwright's own."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def running_pages(folder: Path, api_url: str) -> Iterator[str]:
    """The dashboard until the end of the block; gives its address."""
    port = free_port()
    environment = product_environment(BRAIN_HOME=str(folder / "home"), BRAIN_DASHBOARD__API_URL=api_url)
    url = f"http://127.0.0.1:{port}"
    with running(list(dashboard_command(port)), environment, f"{url}/_stcore/health", folder / "pages.log"):
        yield url


def paint_ms(browser: Browser, url: str) -> float:
    """First contentful paint of a visitor whose browser has nothing in its cache."""
    page = browser.new_context().new_page()
    page.goto(url)
    page.get_by_text("I agree to this text").wait_for()
    found = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    page.context.close()
    return float(found)


def upload_ms(browser: Browser, url: str, images: Sequence[bytes]) -> list[float]:
    """From handing an image in until its answer and its map are on the screen; the first, which warms up, left out."""
    page = browser.new_context().new_page()
    page.goto(url)
    page.get_by_text("I agree to this text").click()
    page.locator("input[type=file]").wait_for(state="attached")
    taken = [_upload_ms(page, number, image) for number, image in enumerate(images)]
    page.context.close()
    return taken[1:]


def _upload_ms(page: Page, number: int, image: bytes) -> float:
    started = time.perf_counter()
    payload = {"name": f"{number}.jpg", "mimeType": "image/jpeg", "buffer": image}
    page.locator("input[type=file]").set_input_files(payload)  # type: ignore[arg-type]
    page.locator("[data-testid=stMain]").get_by_text("The model says").wait_for()
    page.get_by_alt_text("The image under the heat map").wait_for()
    taken = (time.perf_counter() - started) * 1000
    page.get_by_role("button", name="Erase my image").click()
    page.get_by_role("button", name="Yes, erase it").click()
    page.get_by_text("Erased: the image").wait_for()
    return taken


def ask_ms(url: str, images: Sequence[bytes]) -> list[float]:
    """The same through the typed client: the answer and both pictures; the first left out."""
    taken = []
    with BrainClient(url) as client:
        for image in images:
            started = time.perf_counter()
            created = client.predict(image, consent=True)
            client.image(created.id, created.access_token)
            client.explanation_png(created.id, created.access_token)
            taken.append((time.perf_counter() - started) * 1000)
    return taken[1:]


if __name__ == "__main__":
    sys.exit(main())
