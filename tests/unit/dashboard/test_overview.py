import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import overview
from tests.fixtures_bundle import slice_jpeg
from tests.fixtures_dashboard import press, said


@pytest.fixture
def page(open_page, api_address) -> AppTest:
    """The page after an upload of three images."""
    app = open_page("predict", BRAIN_DASHBOARD__API_URL=api_address)
    app.checkbox[0].check().run()
    files = [(f"{number}.jpg", slice_jpeg(seed=number), "image/jpeg") for number in range(3)]
    return app.file_uploader[0].set_value(files).run()


def test_table_has_a_line_an_image_in_their_order(page):
    (table,) = [frame.value for frame in page.dataframe]

    assert list(table["File"]) == ["0.jpg", "1.jpg", "2.jpg"]
    assert set(table["Result"]) == {"Pituitary tumour 91%"}


def test_next_and_previous_stop_at_the_ends(page):
    def is_off(label):
        return next(button.disabled for button in page.button if button.label == label)

    assert is_off("Previous")
    press(press(page, "Next"), "Next")
    assert is_off("Next")
    assert not is_off("Previous")


def test_image_is_chosen_by_its_name(page):
    chooser = page.selectbox(key="chosen-image")
    assert chooser.options[2].startswith("3 · 2.jpg")

    chooser.select_index(2).run()

    assert next(button.disabled for button in page.button if button.label == "Next")


def test_choice_that_streamlit_lost_leaves_the_one_before(monkeypatch):
    monkeypatch.setattr(st, "session_state", {"chosen": "the one before"})

    overview._take_choice()

    assert st.session_state == {"chosen": "the one before"}


def test_filter_that_nothing_passes_shows_no_image(page):
    page.segmented_control(key="shown-kind").set_value("Not readable").run()

    assert "There are none of this kind." in [caption.value for caption in page.caption]
    assert "The model says" not in said(page)


def test_answers_that_are_still_to_be_labelled_are_in_no_table(page):
    page.toggle(key="label-first").set_value(True).run()

    (table,) = [frame.value for frame in page.dataframe]
    assert set(table["Result"]) == {"label it first"}
    assert "91" not in said(page)


def test_cleared_list_erases_nothing(page, scripted_api):
    press(page, "Clear the list")

    assert "The model says" not in said(page)
    assert not [key for key in scripted_api.requests if key.startswith("DELETE")]
