"""A reviewer in a real Chromium against the running platform; in the order of the file."""

import contextlib

import pytest
from playwright.sync_api import Page, expect

from brain_core.client import BrainClient
from brain_core.errors import AccessRefused, AlreadyErased
from brain_core.keys import KeyGrant, KeyStore, scopes_of
from brain_core.labels import CLASSES
from tests.e2e.test_platform import NEW_SAMPLE, eventually, rows
from tests.fixtures_browser import keep_picture, opened
from tests.fixtures_platform import RunningPlatform

STATE = "SELECT review_state, reviewer, review_comment FROM feedback WHERE prediction_id = :id"


def admin_key(platform: RunningPlatform, name: str) -> str:
    """A new admin key of the platform, once it is good."""
    engine = platform.engine()
    _, secret = KeyStore(engine).create(KeyGrant(name, scopes_of(("admin",))))
    engine.dispose()
    with BrainClient(platform.url("SERVING"), timeout_s=60, api_key=secret) as admin:
        eventually(lambda: is_good(admin), 30, "the new key")
    return secret


def is_good(admin: BrainClient) -> bool:
    """Does the API know the client's key? A new one is known after a second."""
    try:
        admin.review_queue(limit=1)
    except AccessRefused:
        return False
    return True


def unlock(page: Page, name: str, key: str) -> None:
    """Open a page with a key."""
    page.get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
    page.get_by_label("Admin key").fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Admin key in use")).to_be_visible()


@pytest.fixture
def corrected(platform: RunningPlatform):
    """The newest feedback, a correction to another class; erased in the end, since other tests count corrections."""
    image = NEW_SAMPLE.list()[3]
    api = platform.api
    created = api.predict(NEW_SAMPLE.read(image), consent=True)
    other = next(name for name in CLASSES if name != created.predicted_class)
    api.feedback(created.id, created.access_token, other)
    yield created
    with contextlib.suppress(AlreadyErased):
        api.erase(created.id, created.access_token)


@pytest.fixture(scope="module")
def key(platform: RunningPlatform) -> str:
    return admin_key(platform, "reviewer in the browser")


def test_browser_correction_is_seen_rejected_with_a_comment_and_counts_no_more(page, platform, key, corrected):
    with BrainClient(platform.url("SERVING"), api_key=key) as admin:
        before = admin.review_queue(limit=1).waiting_images
    unlock(page, "Review", key)
    expect(page.get_by_text(f"{before} corrected image")).to_be_visible()
    expect(page.get_by_alt_text("The same slice with the heat map")).to_be_visible()
    comment = page.get_by_label("Comment (optional)")
    comment.fill("Beside the fal")
    # A letter in a text is no shortcut.
    comment.press("x")
    assert rows(platform, STATE, id=corrected.id) == [("accepted", None, None)]
    comment.press("Tab")
    keep_picture(page, "review-decision")

    page.keyboard.press("x")

    told = ("rejected", "reviewer in the browser", "Beside the falx")
    eventually(lambda: rows(platform, STATE, id=corrected.id) == [told], 20, "the decision")
    expect(page.get_by_text(f"{before - 1} corrected image")).to_be_visible()


def test_browser_erased_image_is_told_and_leaves_the_queue(page, platform, key, corrected):
    unlock(page, "Review", key)
    expect(page.get_by_alt_text("The same slice with the heat map")).to_be_visible()
    platform.api.erase(corrected.id, corrected.access_token)

    page.keyboard.press("a")

    expect(page.get_by_text("The owner has erased that image meanwhile")).to_be_visible()
    assert page.locator("[data-testid=stException]").count() == 0
    with BrainClient(platform.url("SERVING"), api_key=key) as admin:
        assert corrected.id not in {item.prediction_id for item in admin.review_queue(limit=100).items}


def test_browser_several_are_accepted_at_once(page, platform, key, corrected):
    unlock(page, "Review", key)
    page.get_by_text("Several at once").click()
    page.get_by_role("button", name="Select all").click()
    expect(page.get_by_role("button", name="Accept").first).to_be_enabled()
    keep_picture(page, "review-several")

    page.keyboard.press("a")

    eventually(
        lambda: rows(platform, STATE, id=corrected.id)[0][1] == "reviewer in the browser", 30, "the decision about all"
    )
    expect(page.get_by_text("You have decided all")).to_be_visible()


def test_browser_key_is_gone_after_a_reload_and_stands_nowhere_in_the_page(page, key):
    unlock(page, "Review", key)
    assert key not in page.content()
    assert key not in page.evaluate("JSON.stringify({...localStorage, ...sessionStorage}) + document.cookie")

    page.reload()

    expect(page.get_by_label("Admin key")).to_be_visible()
    assert page.get_by_label("Admin key").input_value() == ""


def test_browser_review_fits_a_phone(browser, platform, key, corrected):
    page = opened(browser, f"{platform.url('DASHBOARD')}/review", viewport={"width": 390, "height": 844})
    page.get_by_label("Admin key").fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Accept")).to_be_visible()

    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
    keep_picture(page, "review-phone")
