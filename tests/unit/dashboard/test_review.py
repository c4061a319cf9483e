import json
import re

import pytest

from dashboard.views.review import AGREES
from tests.fixtures_admin import (
    SECOND_ID,
    answers_of_an_admin,
    press,
    queue,
    review_item,
    reviewed,
    with_key,
)
from tests.fixtures_dashboard import PREDICTION_ID, alerts, problem, said


@pytest.fixture
def page(open_page, scripted_api, api_address):
    """The page of an admin with two waiting corrections: pituitary to glioma, and to no tumour."""
    answers_of_an_admin(scripted_api)
    return with_key(open_page, "review", api_address)


def decisions(scripted_api):
    sent = zip(scripted_api.requests, scripted_api.targets, scripted_api.bodies, strict=True)
    return [(target.split("/")[-2], json.loads(body)) for key, target, body in sent if key == "PUT review"]


def queries(scripted_api):
    return [target.partition("?")[2] for target in scripted_api.targets if target.startswith("/v1/feedback?")]


def places(app):
    return [text.value for text in app.markdown if re.fullmatch(r"\*\*\d+ of \d+\*\*", text.value)]


def test_feedback_is_shown_with_both_pictures_what_both_say_and_what_similar_images_have(page):
    text = said(page)
    assert not page.exception
    assert "Glioma" in [heading.value for heading in page.header]
    assert "The model said **Pituitary tumour**, 91% sure. It gave the reader's class 5%." in text
    assert "**4 of 5** similar images have this class." in text
    assert [caption for image in page.image for caption in image.captions] == [
        "The image",
        "Evidence for “Pituitary tumour”",
    ]
    assert all(image.proto.imgs[0].alt for image in page.image)


def test_uncertain_answer_and_agreement_are_told(page, scripted_api):
    agreed = review_item(agrees=True, corrected_class=None, is_uncertain=True)
    scripted_api.answers["GET feedback"] = queue(agreed)

    press(page, "Look again")

    assert "Pituitary tumour" in [heading.value for heading in page.header]
    assert "The model said the same, 91% sure, and says itself that it is **uncertain**." in said(page)


def test_progress_to_the_next_retraining_is_a_bar_with_words(page):
    (bar,) = page.get("progress")

    assert bar.text == "**17 corrected images** wait; a retraining starts when more than 50 do"
    assert bar.value == 33


def test_accepting_sends_the_revision_that_was_looked_at_and_goes_on(page, scripted_api):
    page.text_input(key=f"comment-{PREDICTION_ID}-1").input("Clear.").run()

    press(page, "Accept")

    assert decisions(scripted_api) == [
        (str(PREDICTION_ID), {"revision": 1, "review_state": "accepted", "comment": "Clear."})
    ]
    assert page.toast[0].value == "Accepted: Pituitary tumour → Glioma"
    assert places(page) == ["**2 of 2**"]


def test_rejecting_without_a_comment_sends_none(page, scripted_api):
    scripted_api.answers["PUT review"] = (200, reviewed("rejected").model_dump_json().encode())

    press(page, "Reject")

    assert decisions(scripted_api)[0][1] == {"revision": 1, "review_state": "rejected", "comment": None}
    assert page.toast[0].value == "Rejected: Pituitary tumour → Glioma"


def test_progress_counts_again_after_a_decision(page, scripted_api):
    scripted_api.answers["GET feedback"] = queue(review_item(), waiting_images=51)

    press(page, "Accept")

    assert page.get("progress")[0].text.startswith("**51 corrected images** wait: that is more than 50")


def test_decided_one_stays_with_its_decision_so_that_it_can_be_changed(page, scripted_api):
    decided = reviewed("accepted", review_comment="*fine*", used_by_model_version="8")
    scripted_api.answers["PUT review"] = (200, decided.model_dump_json().encode())
    press(page, "Accept")

    press(page, "Back")

    text = said(page)
    assert "Accepted" in text
    assert r"Decided by jo: “\*fine\*”" in text
    assert "Model version 8 was trained on it." in text
    press(page, "Reject")
    assert [body["review_state"] for _, body in decisions(scripted_api)] == ["accepted", "rejected"]


def test_shortcuts_are_told_belong_to_their_buttons_and_can_be_turned_off(page):
    shortcuts = {button.label: button.proto.shortcut for button in page.button if button.proto.shortcut}
    assert shortcuts == {"Accept": "a", "Reject": "x", "Back": "left", "Next": "right"}
    assert "Keys: **A** accepts, **X** rejects, **←** goes back, **→** goes on." in said(page)

    page.toggle(key="review-shortcuts").set_value(False).run()

    assert not [button for button in page.button if button.proto.shortcut]


def test_back_and_next_move_and_hold_at_the_ends(page):
    disabled = {button.label: button.disabled for button in page.button}
    assert (disabled["Back"], disabled["Next"]) == (True, False)

    press(page, "Next")

    disabled = {button.label: button.disabled for button in page.button}
    assert (disabled["Back"], disabled["Next"]) == (False, True)
    assert places(page) == ["**2 of 2**"]


def test_change_by_the_reader_meanwhile_is_told_and_the_new_answer_is_shown(page, scripted_api):
    scripted_api.answers["PUT review"] = problem("feedback-changed", 409)
    scripted_api.answers["GET feedback"] = queue(review_item(revision=2, corrected_class="meningioma"))
    press(page, "Accept")
    assert any("changed this answer meanwhile" in text for text in alerts(page))
    assert "Meningioma" in [heading.value for heading in page.header]
    scripted_api.answers["PUT review"] = (200, reviewed("accepted", revision=2).model_dump_json().encode())

    press(page, "Accept")

    assert decisions(scripted_api)[-1][1]["revision"] == 2
    assert not any("changed this answer meanwhile" in text for text in alerts(page))


def test_feedback_erased_before_the_decision_is_told_and_left(page, scripted_api):
    scripted_api.answers["PUT review"] = problem("feedback-not-found", 404)

    press(page, "Accept")

    assert "erased that image meanwhile" in page.toast[0].value
    assert places(page) == ["**2 of 2**"]


def test_image_erased_before_it_was_shown_is_told_and_cannot_be_decided(page, scripted_api):
    for key in ("GET image", "GET explanation.png", f"GET {SECOND_ID}"):
        scripted_api.answers[key] = problem("erased", 410)

    press(page, "Next")

    assert any("erased this image meanwhile" in text for text in alerts(page))
    disabled = {button.label: button.disabled for button in page.button}
    assert (disabled["Accept"], disabled["Reject"], disabled["Back"]) == (True, True, False)


def test_picture_that_cannot_be_had_now_leaves_the_rest(page, scripted_api):
    scripted_api.answers["GET explanation.png"] = problem("storage-unavailable", 503)

    press(page, "Look again")

    assert "Evidence for “Pituitary tumour”: it cannot be shown now." in said(page)
    assert len(page.image) == 1


def test_failed_decision_is_told_and_nothing_moves(page, scripted_api):
    scripted_api.answers["PUT review"] = problem("database-unavailable", 503)

    press(page, "Accept")

    assert any("database is away" in text for text in alerts(page))
    assert places(page) == ["**1 of 2**"]


def test_filters_are_sent_and_cleared(page, scripted_api):
    assert queries(scripted_api)[-1] == "limit=12&review_state=pending"

    page.segmented_control(key="review-state").set_value("Rejected").run()
    page.selectbox(key="review-says").set_value("glioma").run()
    page.selectbox(key="review-version").set_value("6").run()
    assert queries(scripted_api)[-1] == "limit=12&review_state=rejected&corrected_class=glioma&model_version=6"

    page.selectbox(key="review-says").set_value(AGREES).run()
    page.segmented_control(key="review-state").set_value("All").run()
    assert queries(scripted_api)[-1] == "limit=12&agrees=true&model_version=6"


def test_versions_to_choose_from_are_those_of_the_bucket_and_another_can_be_typed(page, scripted_api, open_page):
    assert page.selectbox(key="review-version").options == ["Any", "7", "6"]

    scripted_api.answers["GET models"] = problem("storage-unavailable", 503)
    page.switch_page("views/logs.py").run()
    page.switch_page("views/review.py").run()

    assert not alerts(page)[1:]
    assert page.selectbox(key="review-version").options == ["Any"]


def test_same_part_is_not_fetched_again_at_every_click(page, scripted_api):
    before = scripted_api.count("GET feedback"), scripted_api.count("GET image")

    press(press(page, "Next"), "Back")

    assert (scripted_api.count("GET feedback"), scripted_api.count("GET image")) == (before[0], before[1] + 1)


def test_visit_after_another_page_sees_the_queue_as_it_is_now(page, scripted_api):
    page.switch_page("views/logs.py").run()
    scripted_api.answers["GET feedback"] = queue()

    page.switch_page("views/review.py").run()

    assert "All done: nothing waits for a decision." in said(page)


def test_long_queue_is_turned_part_by_part(page, scripted_api):
    scripted_api.answers["GET feedback"] = queue(review_item(), total=30, next_page="abc")
    press(page, "Look again")
    assert "1 to 1 of 30, newest first" in said(page)
    scripted_api.answers["GET feedback"] = queue(review_item(prediction_id=SECOND_ID), total=30)

    press(page, "Older")

    assert queries(scripted_api)[-1] == "page=abc&limit=12&review_state=pending"
    assert next(button for button in page.button if button.label == "Older").disabled
    press(page, "Newer")
    assert queries(scripted_api)[-1] == "limit=12&review_state=pending"


def test_when_all_is_decided_the_page_says_so_and_offers_the_older_ones(page, scripted_api):
    scripted_api.answers["GET feedback"] = queue(review_item(), total=30, next_page="abc")
    press(page, "Look again")

    press(page, "Accept")

    assert any("You have decided all 1" in text for text in alerts(page))
    press(page, "Go on with older ones")
    assert queries(scripted_api)[-1].startswith("page=abc")


def test_last_part_that_is_decided_offers_to_look_for_new_ones(page, scripted_api):
    scripted_api.answers["GET feedback"] = queue(review_item())
    press(press(page, "Look again"), "Accept")

    press(page, "Look for new ones")

    assert queries(scripted_api)[-1] == "limit=12&review_state=pending"


@pytest.mark.parametrize(
    ("review", "state", "words"),
    [
        ("required", "Waiting", "All done: nothing waits for a decision."),
        ("auto", "Waiting", "Corrections count at once here."),
        ("auto", "All", "No reader has said anything yet."),
        ("required", "Rejected", "Nothing fits what you chose above."),
    ],
)
def test_empty_queue_says_why(open_page, scripted_api, api_address, review, state, words):
    answers_of_an_admin(scripted_api)
    scripted_api.answers["GET feedback"] = queue()
    app = with_key(open_page, "review", api_address, BRAIN_FEEDBACK__REVIEW=review)

    app.segmented_control(key="review-state").set_value(state).run()

    assert not app.exception
    assert words in said(app)


def test_where_corrections_count_at_once_the_page_opens_with_all_of_them(open_page, scripted_api, api_address):
    answers_of_an_admin(scripted_api)

    with_key(open_page, "review", api_address, BRAIN_FEEDBACK__REVIEW="auto")

    assert queries(scripted_api)[-1] == "limit=12"


def several(page):
    return page.segmented_control(key="review-how").set_value("Several at once").run()


def test_several_are_decided_at_once(page, scripted_api):
    several(page)
    assert next(button for button in page.button if button.key == "several-accepted").disabled
    page.checkbox(key=f"pick-{SECOND_ID}").check().run()
    press(page, "Select all")
    shortcuts = {button.label: button.proto.shortcut for button in page.button if button.proto.shortcut}
    assert shortcuts == {"Accept 2 selected": "a", "Reject 2 selected": "x"}

    press(page, "Accept 2 selected")

    assert [prediction_id for prediction_id, _ in decisions(scripted_api)] == [str(PREDICTION_ID), str(SECOND_ID)]
    assert page.toast[0].value == "2 accepted."
    assert not any(box.value for box in page.checkbox)


def test_selection_can_be_taken_back(page):
    press(press(several(page), "Select all"), "Select none")

    assert not any(box.value for box in page.checkbox)
    assert "Accept 0 selected" in [button.label for button in page.button]


def test_cards_name_what_is_said_and_each_picture_has_a_text(page):
    several(page)

    assert [box.label for box in page.checkbox] == ["Pituitary tumour → Glioma", "Pituitary tumour → No tumour"]
    assert [image.proto.imgs[0].alt for image in page.image] == [
        "The slice about which is said: Pituitary tumour → Glioma",
        "The slice about which is said: Pituitary tumour → No tumour",
    ]


def test_several_of_which_one_was_erased_and_one_changed_are_told_each(page, scripted_api):
    press(several(page), "Select all")
    scripted_api.answers["PUT review"] = problem("feedback-changed", 409)
    scripted_api.answers["GET feedback"] = queue(review_item(revision=2, corrected_class="meningioma"))

    press(page, "Reject 2 selected")

    assert page.toast[0].value == (
        "1 changed by the reader meanwhile, and not decided: look again. "
        "1 erased by the owner meanwhile: nothing left to decide."
    )
    assert "Pituitary tumour → Meningioma" in [box.label for box in page.checkbox]
    assert page.checkbox(key=f"pick-{SECOND_ID}").disabled


def test_several_stop_at_a_failure_and_say_what_was_done(page, scripted_api):
    press(several(page), "Select all")
    scripted_api.answers["PUT review"] = problem("database-unavailable", 503)

    press(page, "Accept 2 selected")

    assert len(decisions(scripted_api)) == 1
    assert any("database is away" in text for text in alerts(page))
    assert all(box.value for box in page.checkbox)
