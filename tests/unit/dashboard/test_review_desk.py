import pytest

from brain_core.contracts import SimilarImages
from brain_core.errors import ServiceUnavailable
from dashboard import review_desk
from dashboard.review_desk import ACCEPTED, CHANGED, GONE, Shown
from tests.fixtures_admin import SECOND_ID, answer, queue, review_item, reviewed
from tests.fixtures_dashboard import PREDICTION_ID, problem


@pytest.fixture
def desk(admin):
    return review_desk.fetch_desk(admin, Shown(review_state="pending"))


def test_desk_is_a_part_of_the_queue(desk):
    assert [item.prediction_id for item in desk.items] == [PREDICTION_ID, SECOND_ID]
    assert (desk.waiting_images, desk.retraining_above, desk.place, desk.total) == (17, 50, 0, 2)
    assert desk.item == desk.items[0]


def test_empty_desk_has_nothing_to_look_at(admin, scripted_api):
    scripted_api.answers["GET feedback"] = queue()
    desk = review_desk.fetch_desk(admin, Shown())

    desk.step(1)

    assert (desk.item, desk.place) == (None, 0)


def test_steps_hold_at_the_ends(desk):
    desk.step(-1)
    assert desk.place == 0
    desk.step(5)
    assert desk.place == 1


def test_decision_stays_on_the_desk_and_the_next_open_one_follows(admin, desk):
    assert review_desk.decide(admin, desk, desk.items[0], ACCEPTED, None) == ACCEPTED
    desk.go_on()

    assert desk.items[0].review_state == ACCEPTED
    assert desk.item.prediction_id == SECOND_ID
    assert [item.prediction_id for item in desk.open_items] == [SECOND_ID]


def test_after_the_last_one_the_open_ones_before_it_follow(admin, desk, scripted_api):
    desk.step(1)
    scripted_api.answers["PUT review"] = answer(reviewed(ACCEPTED, prediction_id=SECOND_ID))
    review_desk.decide(admin, desk, desk.items[1], ACCEPTED, None)

    desk.go_on()

    assert desk.place == 0


def test_where_nothing_is_open_the_place_stays(admin, desk):
    for item in desk.items:
        desk.decided.add(item.prediction_id)
    desk.step(1)

    desk.go_on()

    assert desk.place == 1
    assert desk.open_items == []


def test_changed_feedback_takes_the_place_of_the_old_and_stays_open(admin, desk, scripted_api):
    scripted_api.answers["PUT review"] = problem("feedback-changed", 409)
    scripted_api.answers["GET feedback"] = queue(review_item(revision=2, corrected_class="meningioma"))

    assert review_desk.decide(admin, desk, desk.items[0], ACCEPTED, None) == CHANGED

    assert (desk.items[0].revision, desk.items[0].corrected_class) == (2, "meningioma")
    assert desk.changed == {PREDICTION_ID}
    assert len(desk.open_items) == 2


def test_changed_feedback_that_is_nowhere_was_erased(admin, desk, scripted_api):
    scripted_api.answers["PUT review"] = problem("feedback-changed", 409)
    scripted_api.answers["GET feedback"] = queue()

    assert review_desk.decide(admin, desk, desk.items[0], ACCEPTED, None) == GONE
    assert desk.gone == {PREDICTION_ID}


def test_failure_decides_nothing(admin, desk, scripted_api):
    scripted_api.answers["PUT review"] = problem("database-unavailable", 503)

    with pytest.raises(ServiceUnavailable):
        review_desk.decide(admin, desk, desk.items[0], ACCEPTED, None)

    assert len(desk.open_items) == 2


def test_number_that_waits_is_fetched_again_or_stays(admin, desk, scripted_api):
    scripted_api.answers["GET feedback"] = queue(waiting_images=18)
    review_desk.count_again(admin, desk)
    assert desk.waiting_images == 18
    scripted_api.answers["GET feedback"] = problem("database-unavailable", 503)

    review_desk.count_again(admin, desk)

    assert desk.waiting_images == 18


@pytest.mark.parametrize(
    ("compared", "agreeing", "words"),
    [
        (0, 0, "There is no similar image to compare with yet."),
        (1, 1, "**1 of 1** similar image has this class."),
        (5, 4, "**4 of 5** similar images have this class."),
    ],
)
def test_similar_images_are_told_in_plain_words(compared, agreeing, words):
    assert review_desk.similar_words(SimilarImages(compared=compared, agreeing=agreeing)) == words


@pytest.mark.parametrize(
    ("waiting", "words"),
    [
        (0, "**0 corrected images** wait; a retraining starts when more than 50 do"),
        (1, "**1 corrected image** waits; a retraining starts when more than 50 do"),
        (50, "**50 corrected images** wait; a retraining starts when more than 50 do"),
        (51, "**51 corrected images** wait: that is more than 50, so a retraining starts soon"),
    ],
)
def test_way_to_the_next_retraining_is_told_in_plain_words(waiting, words):
    assert review_desk.waiting_words(waiting, 50) == words


def test_change_is_told_in_a_few_words():
    assert review_desk.change_words(review_item()) == "Pituitary tumour → Glioma"
    agreed = review_item(agrees=True, corrected_class=None)
    assert review_desk.change_words(agreed) == "Pituitary tumour, the reader agrees"
    assert review_desk.says(agreed) == "pituitary"


def test_outcomes_are_counted():
    assert review_desk.outcome_words([ACCEPTED, ACCEPTED]) == "2 accepted."
    assert review_desk.outcome_words([]) == ""
