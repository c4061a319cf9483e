import pytest
import streamlit as st

from brain_core.labels import CONSENT_TEXT, CONSENT_VERSION
from dashboard import session
from dashboard.wording import as_paragraphs
from tests.fixtures_bundle import slice_jpeg
from tests.fixtures_dashboard import PREDICTION_ID, SLICE, alerts, consent, created, press, problem, said, upload


def test_uploader_waits_for_consent_to_the_current_text(open_page, scripted_api, api_address):
    app = open_page("predict", BRAIN_DASHBOARD__API_URL=api_address)

    assert not app.get("file_uploader")
    assert "Agree to the text above" in said(app)
    assert as_paragraphs(CONSENT_TEXT) in said(app)
    app.checkbox[0].check().run()
    assert len(app.get("file_uploader")) == 1
    assert scripted_api.count("POST predictions") == 0


def test_upload_carries_consent_and_no_file_name(page, scripted_api):
    upload(page, ("patient-jane-doe.jpg", SLICE[1], "image/jpeg"))

    (body,) = [body for body in scripted_api.bodies if SLICE[1] in body]
    assert CONSENT_VERSION.encode() in body
    assert b"jane" not in body


def test_rerun_does_not_send_the_image_again(page, scripted_api):
    upload(page).run().run()

    assert scripted_api.count("POST predictions") == 1


def test_same_image_uploaded_again_is_not_sent_again(page, scripted_api):
    upload(page)
    upload(page, ("another-name.jpg", SLICE[1], "image/jpeg"))

    assert scripted_api.count("POST predictions") == 1
    assert "The model says" in said(page)


def test_answer_outlives_a_visit_to_another_page(page, scripted_api):
    upload(page)
    page.switch_page("views/logs.py").run()
    page.switch_page("views/predict.py").run()

    assert "The model says" in said(page)
    assert page.checkbox[0].value
    assert scripted_api.count("POST predictions") == 1


@pytest.mark.parametrize(
    ("slug", "status", "way_on"),
    [
        ("invalid-image", 400, "export the slice again"),
        ("image-too-large", 413, "Save the image smaller"),
        ("unsupported-image-type", 415, "renaming the file is not enough"),
        ("invalid-request", 422, "Try again"),
        ("rate-limited", 429, "Wait a minute"),
        ("internal-error", 500, "ask whoever runs the platform"),
        ("database-unavailable", 503, "Wait a moment"),
        ("model-unavailable", 503, "its first one"),
        ("storage-unavailable", 503, "Wait a moment"),
    ],
)
def test_failure_is_a_sentence_with_a_way_on(page, scripted_api, slug, status, way_on):
    scripted_api.answers["POST predictions"] = problem(slug, status)

    upload(page)

    assert not page.exception
    assert any(way_on in text for text in alerts(page))
    assert "The model says" not in said(page)


def test_answer_that_is_no_answer_is_a_sentence(page, scripted_api):
    scripted_api.answers["POST predictions"] = (502, b"<html>Bad gateway</html>")

    upload(page)

    assert any("status 502" in text for text in alerts(page))


def test_service_that_comes_back_answers_on_try_again(page, scripted_api):
    scripted_api.answers["POST predictions"], good = (
        problem("model-unavailable", 503),
        (
            201,
            created().model_dump_json().encode(),
        ),
    )
    upload(page)
    assert scripted_api.count("POST predictions") == 1
    scripted_api.answers["POST predictions"] = good

    press(page, "Try again: 1 image waits")

    assert "The model says" in said(page)


def test_image_of_an_earlier_visit_is_erased_by_its_token(page, scripted_api):
    next(box for box in page.text_input if box.label == "Prediction id").input(f" {PREDICTION_ID} ")
    next(box for box in page.text_input if box.label == "Access token").input("secret-token")

    press(page, "Erase it")

    assert scripted_api.count(f"DELETE {PREDICTION_ID}") == 1
    assert any("Erased" in text for text in alerts(page))


def test_id_that_is_none_is_told_without_asking_the_service(page, scripted_api):
    next(box for box in page.text_input if box.label == "Prediction id").input("my brain")

    press(page, "Erase it")

    assert any("not a prediction id" in text for text in alerts(page))
    assert not [key for key in scripted_api.requests if key.startswith("DELETE")]


def test_many_images_are_counted_listed_and_shown_one_at_a_time(page, scripted_api):
    scripted_api.scripts["POST predictions"] = [
        scripted_api.answers["POST predictions"],
        problem("not-a-brain-mri", 422, detail="In colour.", id=str(PREDICTION_ID), access_token="t", validation={}),
        problem("invalid-image", 400, detail="The file is damaged."),
    ]
    files = [(f"{number}.jpg", slice_jpeg(seed=number), "image/jpeg") for number in range(3)]
    page.file_uploader[0].set_value(files).run()

    counts = {metric.label: metric.value for metric in page.metric}
    assert counts == {"Answered": "1", "Not a brain MRI": "1", "Not readable": "1", "Waiting": "0"}
    (table,) = [frame.value for frame in page.dataframe]
    assert list(table["Result"]) == ["Pituitary tumour 91%", "not a brain MRI", "not readable"]
    assert "The model says" in said(page)

    press(page, "Next")
    assert "This image was not read" in said(page)
    press(page, "Next")
    assert any("The file is damaged." in text for text in alerts(page))
    press(page, "Take it off the list")
    assert {metric.label: metric.value for metric in page.metric}["Not readable"] == "0"


def test_upload_that_another_click_interrupts_is_taken_by_the_next_run(page, scripted_api, monkeypatch):
    uploads, interruptions = session.uploads, ["another click"]

    def interrupted_once():
        if interruptions:
            interruptions.pop()
            st.rerun()
        return uploads()

    # The same ends a run, or a callback, that looks at the session's state while another run is asked for.
    monkeypatch.setattr(session, "uploads", interrupted_once)
    page.file_uploader[0].set_value([("a.jpg", slice_jpeg(), "image/jpeg")]).run()

    assert interruptions == []
    assert "The model says" in said(page)
    assert not page.file_uploader[0].value
    assert scripted_api.count("POST predictions") == 1


def test_list_shows_one_kind_when_asked(page, scripted_api):
    scripted_api.scripts["POST predictions"] = [
        problem("not-a-brain-mri", 422, detail="In colour.", id=str(PREDICTION_ID), access_token="t", validation={})
    ]
    files = [(f"{number}.jpg", slice_jpeg(seed=number), "image/jpeg") for number in range(3)]
    page.file_uploader[0].set_value(files).run()
    assert "This image was not read" in said(page)

    page.get("button_group")[0].set_value("Answered").run()

    assert "The model says" in said(page)
    assert len(page.selectbox(key="chosen-image").options) == 2


def test_service_that_goes_away_keeps_what_is_done_and_sends_the_rest_later(page, scripted_api):
    good = scripted_api.answers["POST predictions"]
    scripted_api.scripts["POST predictions"] = [good]
    scripted_api.answers["POST predictions"] = problem("database-unavailable", 503)
    files = [(f"{number}.jpg", slice_jpeg(seed=number), "image/jpeg") for number in range(4)]
    page.file_uploader[0].set_value(files).run()
    assert any("database is away" in text for text in alerts(page))
    assert "The model says" in said(page)
    scripted_api.answers["POST predictions"] = good

    press(page, "Try again: 3 images wait")

    assert {metric.label: metric.value for metric in page.metric}["Answered"] == "4"
    assert len({headers["Idempotency-Key"] for headers in scripted_api.headers}) == 4


def test_new_consent_text_is_agreed_to_before_anything_more_is_sent(page, scripted_api):
    scripted_api.answers["POST predictions"], good = (
        problem("consent-outdated", 409),
        scripted_api.answers["POST predictions"],
    )
    scripted_api.answers["GET consent"] = 200, consent("2027-01", "A new text.").model_dump_json().encode()
    upload(page)
    assert "A new text." in said(page)
    assert any("consent text has changed" in text for text in alerts(page))
    assert not page.checkbox[0].value
    scripted_api.answers["POST predictions"] = good

    page.checkbox[0].check().run()

    assert "The model says" in said(page)
    assert b"2027-01" in [body for body in scripted_api.bodies if SLICE[1] in body][-1]


def test_example_is_answered_at_a_click(page, scripted_api):
    press(page, "Drawn meningioma")

    assert scripted_api.count("POST predictions") == 1
    assert "The model says" in said(page)
