import pytest
from streamlit.testing.v1 import AppTest

from brain_core.labels import CONSENT_TEXT, CONSENT_VERSION
from tests.fixtures_bundle import photograph_jpeg, slice_jpeg
from tests.fixtures_dashboard import PREDICTION_ID, alerts, consent, created, feedback, problem, said

SLICE = ("slice.jpg", slice_jpeg(), "image/jpeg")


@pytest.fixture
def page(open_page, api_address) -> AppTest:
    """The page of a reader who has agreed."""
    app = open_page("predict", BRAIN_DASHBOARD__API_URL=api_address)
    return app.checkbox[0].check().run()


def upload(app: AppTest, file: tuple[str, bytes, str] = SLICE) -> AppTest:
    return app.file_uploader[0].set_value([file]).run()


def press(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label == label).click().run()


def test_uploader_waits_for_consent_to_the_current_text(open_page, scripted_api, api_address):
    app = open_page("predict", BRAIN_DASHBOARD__API_URL=api_address)

    assert not app.get("file_uploader")
    assert "Agree to the text above" in said(app)
    assert CONSENT_TEXT in said(app)
    app.checkbox[0].check().run()
    assert len(app.get("file_uploader")) == 1
    assert scripted_api.count("POST predictions") == 0


def test_upload_carries_consent_and_no_file_name(page, scripted_api):
    upload(page, ("patient-jane-doe.jpg", SLICE[1], "image/jpeg"))

    (body,) = [body for body in scripted_api.bodies if SLICE[1] in body]
    assert CONSENT_VERSION.encode() in body
    assert b"jane" not in body


def test_answer_shows_class_probabilities_pictures_model_and_time(page):
    upload(page)

    text = said(page)
    assert not page.exception
    captions = [caption for image in page.image for caption in image.captions]
    assert captions == ["Your image, as it is stored", "Where the model saw evidence for “Pituitary tumour”"]
    assert "Pituitary tumour" in [str(heading.value) for heading in page.subheader]
    assert next(bar.text for bar in page.get("progress")) == "Pituitary tumour · **91.0%**"
    assert "Model version 7 · took 42 ms" in text
    assert "Uncertain" not in text


def test_uncertain_answer_says_so_plainly(page, scripted_api):
    answer = created(is_uncertain=True, confidence=0.4)
    scripted_api.answers["POST predictions"] = (201, answer.model_dump_json().encode())

    upload(page)

    assert any("Uncertain. A confidence of 40%" in text for text in alerts(page))


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


def test_refused_image_is_told_with_its_reason_and_can_be_erased(page, scripted_api):
    scripted_api.answers["POST predictions"] = problem(
        "not-a-brain-mri", 422, detail="The image is in colour.", id=str(PREDICTION_ID), access_token="t", validation={}
    )
    upload(page, ("photo.jpg", photograph_jpeg(), "image/jpeg"))

    assert "This image was not read" in said(page)
    assert "The image is in colour." in alerts(page)
    assert "What you can do." in said(page)
    press(page, "Yes, erase it")
    assert scripted_api.count(f"DELETE {PREDICTION_ID}") == 1
    assert "This image was not read" not in said(page)


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


def test_image_that_can_never_be_taken_offers_no_try_again(page, scripted_api):
    scripted_api.answers["POST predictions"] = problem("unsupported-image-type", 415)

    upload(page)

    assert not any(button.label.startswith("Try again") for button in page.button)


def test_answer_stands_without_its_map_which_can_be_fetched_later(page, scripted_api):
    good = scripted_api.answers.pop("GET explanation.png")
    upload(page)
    assert any("the answer stands without it" in text for text in alerts(page))
    scripted_api.answers["GET explanation.png"] = good

    press(page, "Fetch the map")

    assert not any("the answer stands without it" in text for text in alerts(page))


def test_yes_is_sent_and_thanked_for(page, scripted_api):
    upload(page)

    press(page, "Yes, it is right")

    assert scripted_api.bodies[scripted_api.requests.index("PUT feedback")].replace(b" ", b"") == (
        b'{"agrees":true,"corrected_class":null}'
    )
    assert any("Thank you" in text for text in alerts(page))


def test_no_asks_for_the_class_and_offers_all_but_the_predicted_one(page, scripted_api):
    scripted_api.answers["PUT feedback"] = feedback("glioma")
    press(upload(page), "No, it is wrong")
    assert scripted_api.count("PUT feedback") == 0
    offered = {button.label: not button.disabled for button in page.button}
    assert offered["Glioma"]
    assert offered["Meningioma"]
    assert offered["No tumour"]
    assert not offered["Pituitary tumour"]

    press(page, "Glioma")

    assert any("Your correction to **Glioma**" in text for text in alerts(page))


def test_feedback_can_be_changed(page, scripted_api):
    press(upload(page), "Yes, it is right")
    press(page, "Change my answer")
    press(page, "No, it is wrong")
    scripted_api.answers["PUT feedback"] = feedback("notumor")

    press(page, "No tumour")

    assert scripted_api.count("PUT feedback") == 2
    assert any("No tumour" in text for text in alerts(page))


def test_feedback_that_fails_is_told_and_can_be_given_again(page, scripted_api):
    scripted_api.answers["PUT feedback"] = problem("database-unavailable", 503)
    press(upload(page), "Yes, it is right")
    assert any("database is away" in text for text in alerts(page))
    scripted_api.answers["PUT feedback"] = feedback(None)

    press(page, "Yes, it is right")

    assert any("Thank you" in text for text in alerts(page))


def test_erased_image_leaves_the_page_and_is_not_sent_again(page, scripted_api):
    press(upload(page), "Yes, erase it")

    assert any("Erased" in text for text in alerts(page))
    assert "The model says" not in said(page)
    page.run()
    assert not page.file_uploader[0].value
    assert scripted_api.count("POST predictions") == 1


def test_erasure_that_fails_keeps_the_answer(page, scripted_api):
    scripted_api.answers[f"DELETE {PREDICTION_ID}"] = problem("storage-unavailable", 503)

    press(upload(page), "Yes, erase it")

    assert any("image store is away" in text for text in alerts(page))
    assert "The model says" in said(page)


def test_id_and_token_to_erase_later_are_shown(page):
    upload(page)

    assert {str(PREDICTION_ID), "secret-token"} <= {code.value for code in page.code}


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


def test_label_first_keeps_the_answer_back_until_the_reader_has_labelled(page, scripted_api):
    scripted_api.answers["PUT feedback"] = feedback("glioma")
    page.toggle(key="label-first").set_value(True).run()
    upload(page)
    text = said(page)
    assert "What do you think it shows?" in text
    assert "The model says" not in text
    assert "91.0%" not in text

    press(page, "Glioma")

    assert "The model says" in said(page)
    assert any("You said **Glioma** before you saw the answer" in text for text in alerts(page))
    assert b'"agrees":false' in scripted_api.bodies[scripted_api.requests.index("PUT feedback")].replace(b" ", b"")


def test_label_first_that_meets_the_answer_agrees_with_it(page, scripted_api):
    page.toggle(key="label-first").set_value(True).run()

    press(upload(page), "Pituitary tumour")

    assert b'"agrees":true' in scripted_api.bodies[scripted_api.requests.index("PUT feedback")].replace(b" ", b"")


def test_answer_can_be_shown_without_a_label(page, scripted_api):
    page.toggle(key="label-first").set_value(True).run()

    press(upload(page), "Show me the answer")

    assert "The model says" in said(page)
    assert scripted_api.count("PUT feedback") == 0


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


def test_map_is_as_strong_as_the_reader_wants_it(page):
    upload(page)
    shown = [image.proto.imgs[0].url for image in page.image]

    page.slider[0].set_value(0).run()

    assert [image.proto.imgs[0].url for image in page.image] != shown
    assert not page.exception


def test_result_can_be_taken_home_in_four_ways(page):
    upload(page)

    labels = [button.label for button in page.get("download_button")]
    assert labels == ["JSON", "CSV", "Map (PNG)", "Report (PDF)"]
