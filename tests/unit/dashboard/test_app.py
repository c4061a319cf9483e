import subprocess
import sys
from pathlib import Path

import pytest

from brain_core.labels import NOTICE
from tests.fixtures_dashboard import alerts, problem, said

ROOT = Path(__file__).resolve().parents[3]
VIEWS = ("predict", "review", "models", "monitoring", "drift", "logs")
MODULES = ["dashboard.app", *(f"dashboard.views.{view}" for view in VIEWS)]


@pytest.mark.parametrize("view", VIEWS)
def test_notice_stands_on_every_page_and_cannot_be_closed(open_page, view):
    app = open_page(view)

    assert NOTICE in alerts(app)
    assert not app.exception


@pytest.mark.parametrize("view", VIEWS)
def test_page_without_any_other_part_running_says_so_without_a_trace(open_page, view):
    app = open_page(view, BRAIN_DATABASE__URL="postgresql://nobody@127.0.0.1:9/brain")

    assert not app.exception
    assert "It is away, starting, or has no model yet." in said(app)


@pytest.mark.parametrize("view", VIEWS)
def test_wrong_setting_is_named_on_the_page(open_page, view):
    app = open_page(view, BRAIN_DASHBOARD__PORT="1")

    assert not app.exception
    assert any("BRAIN_DASHBOARD__PORT" in text for text in alerts(app))


def test_side_bar_names_the_model_that_answers(open_page, api_address):
    app = open_page("predict", BRAIN_DASHBOARD__API_URL=api_address)

    assert "Model version 7, trained on sample images." in said(app)


def test_side_bar_without_a_ready_service_does_not_ask_for_the_model(open_page, scripted_api, api_address):
    scripted_api.answers["GET readyz"] = problem("not-ready", 503)

    app = open_page("predict", BRAIN_DASHBOARD__API_URL=api_address)

    assert "has no model yet" in said(app)
    assert scripted_api.count("GET model") == 0


def test_pages_import_nothing_of_the_other_parts():
    heavy = ("tensorflow", "keras", "dagster", "mlflow", "evidently", "fastapi", "onnxruntime")
    code = f"import sys, {', '.join(MODULES)}; print([m for m in {heavy!r} if m in sys.modules])"

    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"
