"""The Review and Models pages in a real Chromium, against the real API, PostgreSQL and bucket."""

import pytest
from playwright.sync_api import Page, expect

from brain_core.client import BrainClient
from tests.fixtures_browser import opened, serious
from tests.fixtures_bundle import publish_bundle, slice_jpeg
from tests.fixtures_serving import ADMIN_KEY, READER_KEY, changed, running_api, wait_until

pytestmark = pytest.mark.needs_browser


@pytest.fixture
def api(serving_settings, champion_bucket, api_port):
    with running_api(changed(serving_settings, feedback={"review": "required"}), port=api_port) as url:
        yield url


@pytest.fixture
def states(rows):
    return lambda: sorted(state for (state,) in rows("SELECT review_state FROM feedback"))


def correct(url: str, count: int) -> None:
    with BrainClient(url, timeout_s=30) as client:
        for seed in range(count):
            created = client.predict(slice_jpeg(seed=seed), consent=True)
            client.feedback(created.id, created.access_token, "glioma")


def unlock(page: Page, name: str, key: str = ADMIN_KEY) -> None:
    page.get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
    page.get_by_label("Admin key").fill(key)
    page.get_by_role("button", name="Use this key").click()


def test_browser_reviewer_decides_with_the_keyboard(page, api, states):
    correct(api, 3)
    unlock(page, "Review")
    expect(page.get_by_text("1 of 3")).to_be_visible()
    # The shortcut works from when its button is there.
    expect(page.get_by_role("button", name="Accept")).to_be_enabled()
    assert states() == ["pending", "pending", "pending"]

    page.keyboard.press("a")
    wait_until(lambda: "accepted" in states(), 30)
    expect(page.get_by_text("1 of 2").or_(page.get_by_text("2 of 3")).first).to_be_visible()
    page.keyboard.press("x")

    wait_until(lambda: states() == ["accepted", "pending", "rejected"], 30)
    expect(page.get_by_text("a retraining starts when more than 50 do")).to_be_visible()


def test_browser_key_without_the_right_opens_nothing(page, api, states):
    correct(api, 1)
    unlock(page, "Review", READER_KEY)

    expect(page.get_by_text("The key in use may not do this").or_(page.get_by_text("admin")).first).to_be_visible()
    assert page.get_by_role("button", name="Accept").count() == 0
    assert READER_KEY not in page.content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_browser_review_and_models_have_no_serious_fault_for_people_with_impairments(
    browser, all_pages_url, api, champion_bucket, scheme
):
    publish_bundle(champion_bucket, "2")
    correct(api, 2)
    page = opened(browser, all_pages_url, color_scheme=scheme)
    unlock(page, "Review")
    expect(page.get_by_text("1 of 2")).to_be_visible()
    assert serious(page) == []
    page.get_by_role("link", name="Models").click()
    expect(page.get_by_text("Side by side")).to_be_visible()
    assert serious(page) == []


def test_browser_promotion_is_asked_for_only_after_a_confirmation(page, champion_bucket, api):
    publish_bundle(champion_bucket, "2")
    unlock(page, "Models")
    page.get_by_role("button", name="Make it the champion").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    with BrainClient(api, api_key=ADMIN_KEY) as admin:
        assert admin.models().requests == []
        page.get_by_role("button", name="Make it the champion").first.click()
        page.get_by_role("button", name="Yes, do it").click()
        wait_until(lambda: bool(admin.models().requests), 30)
