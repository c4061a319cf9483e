import pytest

from brain_core.errors import ServiceUnreachable, TooManyRequests
from dashboard.admin import SERVICE_AWAY, admin_sentence
from tests.fixtures_admin import KEY, answers_of_an_admin, enter_key, press, queue, with_key
from tests.fixtures_dashboard import alerts, problem, said

VIEWS = ("review", "models")


@pytest.fixture
def page(open_page, scripted_api, api_address):
    answers_of_an_admin(scripted_api)
    return open_page("review", BRAIN_DASHBOARD__API_URL=api_address)


@pytest.mark.parametrize("view", VIEWS)
def test_page_without_a_key_asks_for_one_and_asks_the_service_for_nothing_of_others(
    open_page, scripted_api, api_address, view
):
    app = open_page(view, BRAIN_DASHBOARD__API_URL=api_address)

    assert not app.exception
    assert "This part needs an admin key" in said(app)
    assert scripted_api.count("GET feedback") == scripted_api.count("GET models") == 0


def test_key_is_typed_into_a_password_field_that_browsers_do_not_fill(page):
    field = page.text_input(key="admin-key-entry").proto

    assert field.type == field.PASSWORD
    assert field.autocomplete == "off"


def test_good_key_opens_both_pages_until_it_is_forgotten(page, scripted_api):
    enter_key(page, f"  {KEY} ")
    assert "Admin key in use" in said(page)
    assert KEY in scripted_api.keys
    page.switch_page("views/models.py").run()
    assert "This part needs an admin key" not in said(page)

    press(page, "Forget the key")

    assert "This part needs an admin key" in said(page)
    page.switch_page("views/review.py").run()
    assert "This part needs an admin key" in said(page)


def test_key_is_of_one_session_and_sent_for_nobody_else(page, open_page, scripted_api, api_address):
    enter_key(page, KEY)
    scripted_api.keys.clear()

    other = open_page("review", BRAIN_DASHBOARD__API_URL=api_address)

    assert "This part needs an admin key" in said(other)
    assert set(scripted_api.keys) == {None}


@pytest.mark.parametrize(
    ("slug", "status", "words"),
    [
        ("key-refused", 401, "The key is not good"),
        ("scope-missing", 403, "may not do this"),
        ("rate-limited", 429, "Too many requests"),
        ("database-unavailable", 503, "database is away"),
    ],
)
def test_key_that_does_not_open_is_told_with_a_way_on(page, scripted_api, slug, status, words):
    scripted_api.answers["GET feedback"] = problem(slug, status)

    enter_key(page, KEY)

    assert not page.exception
    assert any(words in text for text in alerts(page))
    assert "This part needs an admin key" in said(page)


@pytest.mark.parametrize("text", ["", "   ", "brain_ä", "two words", "line\nbreak"])
def test_text_that_cannot_be_a_key_is_not_sent(page, scripted_api, text):
    enter_key(page, text)

    assert any("This is not a key" in alert for alert in alerts(page))
    assert scripted_api.count("GET feedback") == 0


def test_service_that_is_away_is_told_without_talk_of_an_image(open_page):
    app = enter_key(open_page("review"), KEY)

    assert not app.exception
    assert SERVICE_AWAY in alerts(app)


def test_key_that_was_revoked_meanwhile_is_forgotten_and_another_can_be_given(page, scripted_api):
    enter_key(page, KEY)
    scripted_api.answers["GET feedback"] = problem("key-refused", 401)
    press(page, "Look again")
    assert any("The key is not good" in text for text in alerts(page))
    assert "This part needs an admin key" in said(page)
    scripted_api.answers["GET feedback"] = queue()

    enter_key(page, KEY)

    assert "This part needs an admin key" not in said(page)


def test_page_offers_another_key_where_the_first_question_is_refused(open_page, scripted_api, api_address):
    answers_of_an_admin(scripted_api)
    scripted_api.answers["GET models"] = problem("key-refused", 401)
    app = with_key(open_page, "models", api_address)

    press(app, "Enter another key")

    assert "This part needs an admin key" in said(app)


def test_key_is_in_no_log(page, scripted_api, caplog, tmp_path):
    enter_key(page, KEY)
    scripted_api.answers["GET feedback"] = problem("key-refused", 401)
    press(page, "Look again")
    enter_key(page, f"{KEY}\n")

    logged = caplog.text + "".join(path.read_text() for path in (tmp_path / "home").rglob("*") if path.is_file())
    assert KEY not in logged


def test_sentence_for_an_admin_speaks_of_no_image():
    assert admin_sentence(ServiceUnreachable("x")) == SERVICE_AWAY
    assert "image" not in admin_sentence(TooManyRequests("x", 429))
    assert "Wait" in admin_sentence(TooManyRequests("x", 429))
    assert "image" not in SERVICE_AWAY
