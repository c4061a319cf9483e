import pytest

from brain_core.client import BrainClient
from brain_core.errors import AccessRefused, ServiceUnreachable
from dashboard.review_desk import Shown, fetch_desk
from dashboard.review_pictures import Pictures
from tests.fixtures_dashboard import PREDICTION_ID, problem


@pytest.fixture
def desk(admin):
    return fetch_desk(admin, Shown())


def test_pictures_and_probability_are_fetched_once(admin, desk, scripted_api):
    pictures, item = Pictures(), desk.items[0]
    for _ in range(2):
        assert pictures.image(admin, desk, item).startswith(b"\xff\xd8")
        assert pictures.overlay(admin, desk, item).startswith(b"\x89PNG")
        assert pictures.probability(admin, desk, item, item.corrected_class) == 0.05

    asked = ("GET image", "GET explanation.png", f"GET {PREDICTION_ID}")
    assert [scripted_api.count(key) for key in asked] == [1, 1, 1]


def test_picture_of_an_erased_image_is_dropped_and_not_asked_for_again(admin, desk, scripted_api):
    pictures, item = Pictures(), desk.items[0]
    pictures.image(admin, desk, item)
    scripted_api.answers["GET explanation.png"] = problem("erased", 410)

    assert pictures.overlay(admin, desk, item) is None

    assert pictures.image(admin, desk, item) is None
    assert pictures.kept == {}
    assert (desk.gone, scripted_api.count("GET image")) == ({PREDICTION_ID}, 1)


def test_picture_that_cannot_be_had_now_is_asked_for_again(admin, desk, scripted_api):
    pictures, item = Pictures(), desk.items[0]
    good = scripted_api.answers["GET image"]
    scripted_api.answers["GET image"] = problem("storage-unavailable", 503)
    assert pictures.image(admin, desk, item) is None
    scripted_api.answers["GET image"] = good

    assert pictures.image(admin, desk, item) == good[1]
    assert desk.gone == set()


def test_key_that_is_not_good_is_no_missing_picture(admin, desk, scripted_api):
    scripted_api.answers["GET image"] = problem("key-refused", 401)

    with pytest.raises(AccessRefused):
        Pictures().image(admin, desk, desk.items[0])


def test_service_that_is_away_is_no_missing_picture(desk):
    with BrainClient("http://127.0.0.1:9") as away, pytest.raises(ServiceUnreachable):
        Pictures().image(away, desk, desk.items[0])
