import pytest
from streamlit.testing.v1 import AppTest

from brain_core.labels import NOTICE
from tests.fixtures_dashboard import APP, alerts, said

PROVIDER = {
    "redirect_uri": "http://127.0.0.1:8501/oauth2callback",
    "cookie_secret": "secret-of-the-tests",
    "client_id": "brain-assets",
    "client_secret": "secret",
    "server_metadata_url": "http://127.0.0.1:9/.well-known/openid-configuration",
}


@pytest.fixture
def app(open_page, monkeypatch) -> AppTest:
    """The dashboard of an operator who asks readers to log in, not yet opened."""
    open_page("predict", BRAIN_DASHBOARD__LOGIN="true")
    return AppTest.from_file(APP, default_timeout=60)


def test_nobody_has_to_log_in_unless_the_operator_asks_for_it(open_page):
    assert "Predict" in said(open_page("predict"))


def test_reader_who_has_not_logged_in_sees_only_the_way_to_do_so(app):
    app.secrets["auth"] = PROVIDER
    app.run()

    assert [button.label for button in app.button] == ["Log in"]
    assert NOTICE in alerts(app)
    assert "Your consent" not in said(app)
    assert not app.exception


def test_provider_that_is_not_wholly_set_is_told_at_the_click(app):
    app.secrets["auth"] = {"client_id": "brain-assets"}
    app.run()

    app.button[0].click().run()

    assert any("STREAMLIT_SECRETS_FILES" in text for text in alerts(app))
    assert not app.exception


def test_login_without_a_provider_is_told_and_shows_no_page(app):
    app.run()

    assert any("STREAMLIT_SECRETS_FILES" in text for text in alerts(app))
    assert "Your consent" not in said(app)
    assert not app.exception
