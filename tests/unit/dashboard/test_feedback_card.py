from tests.fixtures_bundle import photograph_jpeg
from tests.fixtures_dashboard import PREDICTION_ID, alerts, feedback, press, problem, said, upload


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
