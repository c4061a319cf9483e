"""Without a database; tests/integration/test_dashboard_pages.py has the panels."""

import pytest

from dashboard.views import monitoring
from tests.fixtures_dashboard import alerts

AWAY = "postgresql://nobody@127.0.0.1:9/brain"


@pytest.mark.parametrize("view", ["monitoring", "drift"])
def test_page_without_postgresql_says_so_once(open_page, view):
    app = open_page(view, BRAIN_DATABASE__URL=AWAY)

    assert not app.exception
    assert len([text for text in alerts(app) if "PostgreSQL is away" in text and "Reload" in text]) == 1


def test_page_without_a_database_setting_names_it(open_page):
    app = open_page("monitoring")

    assert any("BRAIN_DATABASE__URL" in text for text in alerts(app))


@pytest.mark.parametrize(("part", "whole", "shown"), [(1, 3, "33%"), (0, 5, "0%"), (0, 0, "\N{EN DASH}")])
def test_share_of_nothing_is_no_number(part, whole, shown):
    assert monitoring._share(part, whole) == shown


@pytest.mark.parametrize(("value", "shown"), [(12.4, "12 ms"), (None, "\N{EN DASH}"), (float("nan"), "\N{EN DASH}")])
def test_latency_of_nothing_is_no_number(value, shown):
    assert monitoring._ms(value) == shown
