"""Models and promotion in a real Chromium against the running platform; in the order of the file."""

import pytest
from playwright.sync_api import expect

from brain_core.bundle import read_champion
from brain_core.labels import CLASSES
from dashboard.wording import CLASS_NAMES
from tests.e2e.test_browser_review import admin_key, unlock
from tests.fixtures_browser import keep_picture, opened
from tests.fixtures_bundle import upload_bundle
from tests.fixtures_platform import RunningPlatform

CARRIED_OUT_MS = 180_000
"""A request is carried out by a sensor, which looks every half minute, on a busy machine later."""

STRANGER = "990"
"""A version that is in the bucket and nowhere in the registry."""


@pytest.fixture(scope="module")
def key(platform: RunningPlatform) -> str:
    return admin_key(platform, "promoter in the browser")


def test_browser_reader_sees_which_model_answers_without_a_key(page, platform):
    page.get_by_role("link", name="Models").click()

    expect(page.get_by_text("Answers now")).to_be_visible()
    expect(page.get_by_text(f"Version {platform.api.model().version}").first).to_be_visible()
    assert page.get_by_role("button", name="Make it the champion").count() == 0


def test_browser_champion_is_shown_with_its_figures_decision_and_rules(page, platform, key):
    unlock(page, "Models", key)
    champion = read_champion(platform.bucket).version

    expect(page.get_by_role("columnheader", name=f"Version {champion} · champion")).to_be_visible()
    for name in CLASSES:
        expect(page.get_by_role("rowheader", name=f"Finds: {CLASS_NAMES[name]}").first).to_be_visible()
    expect(page.get_by_text(f"Version {champion} was promoted: all").first).to_be_visible()
    page.get_by_text("Every rule and figure of the decision").first.click()
    expect(page.get_by_text("Right often enough (balanced accuracy)").first).to_be_visible()
    keep_picture(page, "models-decision")


def test_browser_promotion_is_confirmed_carried_out_by_the_pipeline_and_its_refusal_told(page, platform, key):
    upload_bundle(platform.bucket, STRANGER)
    before = read_champion(platform.bucket).version
    unlock(page, "Models", key)
    page.get_by_role("button", name="Make it the champion").first.click()
    expect(page.get_by_role("dialog")).to_contain_text(f"version {STRANGER} answers every new upload")

    page.get_by_role("button", name="Yes, do it").click()

    expect(page.get_by_text("What was asked for")).to_be_visible()
    # No click from here on: the page follows by itself.
    expect(page.get_by_text("Refused").first).to_be_visible(timeout=CARRIED_OUT_MS)
    assert read_champion(platform.bucket).version == before
    keep_picture(page, "models-refused")


def test_browser_models_fit_a_phone(browser, platform, key):
    page = opened(browser, f"{platform.url('DASHBOARD')}/models", viewport={"width": 390, "height": 844})
    page.get_by_label("Admin key").fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Side by side")).to_be_visible()

    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
    keep_picture(page, "models-phone")
