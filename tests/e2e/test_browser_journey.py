"""The reader's journey in a real Chromium against the running platform."""

import pytest
from playwright.sync_api import expect

from brain_core.client import BrainClient
from brain_core.labels import NOTICE
from dashboard.wording import CLASS_NAMES
from tests.e2e.test_browser_review import admin_key, unlock
from tests.e2e.test_platform import NEW_SAMPLE, eventually, photograph, rows
from tests.fixtures_browser import agree, hand_in, keep_picture
from tests.fixtures_platform import RunningPlatform


def review_queue(platform: RunningPlatform, key: str) -> set[str]:
    """Ids of the predictions whose feedback a reviewer sees."""
    with BrainClient(platform.url("SERVING"), timeout_s=60, api_key=key) as admin:
        return {str(item.prediction_id) for item in admin.review_queue(limit=100).items}


def test_browser_upload_is_answered_corrected_and_erased(page, platform):
    image = NEW_SAMPLE.list()[-1]
    expect(page.get_by_text("Agree to the text above")).to_be_visible()
    assert page.locator("input[type=file]").count() == 0
    agree(page)
    hand_in(page, ("slice.jpg", NEW_SAMPLE.read(image)))
    expect(page.get_by_text("The model says")).to_be_visible()
    expect(page.get_by_text("Where the model saw evidence")).to_be_visible()
    keep_picture(page, "predict")
    page.get_by_role("button", name="No, it is wrong").click()
    page.get_by_text("What does the slice show?").wait_for()
    offered = [page.get_by_role("button", name=name, exact=True) for name in CLASS_NAMES.values()]
    next(button for button in offered if button.is_enabled()).click()
    expect(page.get_by_text("Your correction to")).to_be_visible()
    newest = "SELECT p.id, p.image_key FROM feedback f JOIN prediction p ON p.id = f.prediction_id ORDER BY p.id DESC"
    prediction_id, key = rows(platform, newest)[0]
    assert str(key).startswith("InferenceLogs/ImageLogsWithFeedback/")
    assert platform.bucket.exists(str(key))
    key_of_admin = admin_key(platform, "reviewer of the journey")
    assert str(prediction_id) in review_queue(platform, key_of_admin)
    unlock(page, "Review", key_of_admin)
    expect(page.get_by_text("a retraining starts when more than")).to_be_visible()
    keep_picture(page, "review")
    page.get_by_role("link", name="Predict").click()
    page.get_by_role("button", name="Erase my image").click()
    page.get_by_role("button", name="Yes, erase it").click()
    expect(page.get_by_text("Erased: the image")).to_be_visible()
    gone = "SELECT 1 FROM prediction WHERE id = :id AND deleted_at IS NOT NULL"
    eventually(lambda: rows(platform, gone, id=prediction_id), 10, "the tombstone")
    assert not platform.bucket.exists(str(key))
    assert str(prediction_id) not in review_queue(platform, key_of_admin)


def test_browser_photograph_is_refused_with_a_reason(page):
    agree(page)
    hand_in(page, ("photograph.jpg", photograph()))
    expect(page.get_by_text("This image was not read")).to_be_visible()
    expect(page.get_by_text("What you can do.")).to_be_visible()
    keep_picture(page, "refused")


@pytest.mark.parametrize("name", ["Review", "Models", "Monitoring", "Drift", "Data", "Logs"])
def test_browser_page_opens_without_an_error_and_carries_the_notice(page, name):
    page.get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
    page.wait_for_timeout(3000)
    expect(page.get_by_text(NOTICE).first).to_be_visible()
    assert page.locator("[data-testid=stException]").count() == 0
    keep_picture(page, name.lower())


def test_browser_dagit_shows_the_graph(browser, platform):
    page = browser.new_page(viewport={"width": 1900, "height": 1100})
    page.goto(f"{platform.url('DAGSTER')}/asset-groups")
    expect(page.get_by_text("ingestion").first).to_be_visible(timeout=60_000)
    page.wait_for_timeout(2500)
    page.keyboard.press("Alt+KeyE")
    expect(page.get_by_text("inference_bundle").first).to_be_visible(timeout=30_000)
    page.wait_for_timeout(2000)
    keep_picture(page, "dagit-graph")
    page.close()
