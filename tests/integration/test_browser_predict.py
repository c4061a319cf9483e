"""The Predict page in a real Chromium, against the real API, PostgreSQL and bucket."""

import hashlib

import pytest
from playwright.sync_api import Page, expect

from tests.fixtures_browser import PATIENCE_MS, agree, hand_in, opened, serious
from tests.fixtures_bundle import photograph_jpeg, slice_jpeg
from tests.fixtures_serving import running_api, wait_until

pytestmark = pytest.mark.needs_browser


@pytest.fixture
def api(serving_settings, champion_bucket, api_port):
    with running_api(serving_settings, port=api_port) as url:
        yield url


@pytest.fixture
def pages_url(all_pages_url, api):
    return all_pages_url


def shown_id(page: Page) -> str:
    """The prediction id that the page gives its reader to keep."""
    page.get_by_role("button", name="Key to erase it later").click()
    code = page.get_by_test_id("stCode").first
    expect(code).to_be_visible()
    found = code.inner_text().strip()
    page.keyboard.press("Escape")
    return found


def test_browser_double_click_is_one_feedback(page, rows):
    agree(page)
    hand_in(page, ("a.jpg", slice_jpeg()))

    page.get_by_role("button", name="Yes, it is right").dblclick()

    expect(page.get_by_text("Thank you.")).to_be_visible()
    page.wait_for_timeout(1000)
    assert rows("SELECT revision FROM feedback") == [(1,)]


def test_browser_back_button_keeps_the_answer(page, rows):
    agree(page)
    hand_in(page, ("a.jpg", slice_jpeg()))
    expect(page.get_by_text("The model says")).to_be_visible()
    page.get_by_role("link", name="Monitoring").click()
    expect(page.get_by_role("heading", name="Monitoring", level=1)).to_be_visible()

    page.go_back()

    expect(page.get_by_text("The model says")).to_be_visible()
    assert len(rows("SELECT 1 FROM prediction")) == 1


def test_browser_image_erased_in_one_tab_is_gone_in_the_other(page, browser, pages_url, rows):
    agree(page)
    hand_in(page, ("a.jpg", slice_jpeg()))
    page.get_by_role("button", name="Key to erase it later").click()
    expect(page.get_by_test_id("stCode").nth(1)).to_be_visible()
    known_by = [page.get_by_test_id("stCode").nth(number).inner_text().strip() for number in (0, 1)]
    page.keyboard.press("Escape")
    other = opened(browser, pages_url)
    other.get_by_text("Erase an image of an earlier visit").click()
    other.get_by_label("Prediction id").fill(known_by[0])
    other.get_by_label("Access token").fill(known_by[1])
    other.get_by_role("button", name="Erase it", exact=True).click()
    expect(other.get_by_text("Erased: the image")).to_be_visible()
    other.context.close()

    page.get_by_role("button", name="Yes, it is right").click()

    expect(page.get_by_text("This image was erased")).to_be_visible()
    assert rows("SELECT count(*) FROM prediction WHERE deleted_at IS NOT NULL") == [(1,)]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.jpg", b"", "The file is empty"),
        ("notes.jpg", b"dear diary", "neither JPEG nor PNG"),
        ("notes.txt", b"dear diary", "not allowed"),
    ],
)
def test_browser_file_that_is_no_image_is_told_and_nothing_is_kept(page, rows, name, data, words):
    agree(page)
    hand_in(page, (name, data))

    expect(page.get_by_text(words).first).to_be_visible()
    assert rows("SELECT 1 FROM prediction") == []
    assert page.get_by_test_id("stException").count() == 0


def test_browser_file_of_thirty_megabytes_is_told_before_it_is_sent(page, rows, tmp_path):
    huge = tmp_path / "huge.jpg"
    huge.write_bytes(slice_jpeg() + b"\0" * (30 * 2**20))
    agree(page)
    page.locator("input[type=file]").set_input_files(huge)

    expect(page.get_by_text("must be 1.0MB or smaller").first).to_be_visible()
    assert rows("SELECT 1 FROM prediction") == []


def test_browser_hundred_files_with_ten_broken_ones(page, rows):
    good = [(f"slice-{number}.jpg", slice_jpeg(seed=number)) for number in range(90)]
    broken = [(f"broken-{number}.jpg", b"broken %d" % number) for number in range(10)]
    agree(page)
    hand_in(page, *good[:45], *broken, *good[45:])

    expect(page.get_by_text("of 100 …")).to_be_visible()
    expect(page.get_by_text("100 images", exact=True)).to_be_visible(timeout=180_000)
    counts = [page.get_by_test_id("stMetricValue").nth(number) for number in range(4)]
    for count, value in zip(counts, ("90", "0", "10", "0"), strict=True):
        expect(count).to_have_text(value, timeout=180_000)
    assert rows("SELECT count(*) FROM prediction") == [(90,)]


def test_browser_tabs_see_only_their_own_images(browser, pages_url, rows):
    """Twenty sessions at once, without browsers, are `test_dashboard_sessions`."""
    contexts = [browser.new_context(), browser.new_context()]
    pages = [context.new_page() for context in (contexts[0], contexts[0], contexts[1])]
    images = [slice_jpeg(seed=number) for number in range(len(pages))]
    for page in pages:
        page.set_default_timeout(PATIENCE_MS)
        page.goto(pages_url)
        agree(page)
    for number, (page, image) in enumerate(zip(pages, images, strict=True)):
        hand_in(page, (f"mine-{number}.jpg", image))

    known_by = [shown_id(page) for page in pages]
    stored = {str(one): digest for one, digest in rows("SELECT id, image_sha256 FROM prediction")}
    assert len(stored) == len(pages)
    assert [stored[one] for one in known_by] == [hashlib.sha256(image).hexdigest() for image in images]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_browser_page_has_no_serious_fault_for_people_with_impairments(browser, pages_url, scheme):
    page = opened(browser, pages_url, color_scheme=scheme)
    page.get_by_text("I agree to this text").wait_for()
    assert serious(page) == []
    agree(page)
    hand_in(page, ("a.jpg", slice_jpeg()), ("photo.jpg", photograph_jpeg()))
    expect(page.get_by_text("The model says")).to_be_visible()
    assert serious(page) == []
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("This image was not read")).to_be_visible()
    assert serious(page) == []


def test_browser_page_loads_nothing_from_elsewhere(browser, pages_url):
    page = browser.new_context().new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(pages_url)
    page.get_by_text("I agree to this text").wait_for()
    wait_until(lambda: len(asked) > 3)
    page.wait_for_timeout(1500)

    assert [url for url in asked if not url.startswith((pages_url, "data:", "blob:"))] == []


def test_browser_phone_shows_everything_without_scrolling_sideways(browser, pages_url):
    page = opened(browser, pages_url, viewport={"width": 390, "height": 844})
    agree(page)
    hand_in(page, ("a.jpg", slice_jpeg()))
    expect(page.get_by_text("The model says")).to_be_visible()

    overflow = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth - innerWidth")
    assert overflow <= 0


def test_browser_keyboard_alone_gets_through_consent_and_an_example(page):
    page.get_by_text("I agree to this text").wait_for()
    box = page.locator("input[type=checkbox]").first
    for _ in range(40):
        page.keyboard.press("Tab")
        if box.evaluate("each => each === document.activeElement"):
            break
    page.keyboard.press("Space")
    example = page.get_by_role("button", name="Drawn meningioma")
    expect(example).to_be_enabled()
    for _ in range(40):
        page.keyboard.press("Tab")
        if example.evaluate("each => each === document.activeElement"):
            break
    page.keyboard.press("Enter")

    expect(page.get_by_text("What you can do.").or_(page.get_by_text("The model says")).first).to_be_visible()


def test_browser_service_that_stops_in_the_middle_and_comes_back(
    browser, all_pages_url, serving_settings, champion_bucket, api_port, rows
):
    with running_api(serving_settings, port=api_port):
        page = opened(browser, all_pages_url)
        agree(page)
        hand_in(page, *((f"slice-{number}.jpg", slice_jpeg(seed=number)) for number in range(60)))
        wait_until(lambda: len(rows("SELECT 1 FROM prediction")) > 5, 60)
    expect(page.get_by_text("does not answer")).to_be_visible(timeout=60_000)
    again = page.get_by_role("button", name="Try again")
    expect(again).to_be_visible()
    with running_api(serving_settings, port=api_port):
        again.click()
        expect(page.get_by_test_id("stMetricValue").first).to_have_text("60", timeout=120_000)
        assert rows("SELECT count(*), count(DISTINCT image_sha256) FROM prediction") == [(60, 60)]
