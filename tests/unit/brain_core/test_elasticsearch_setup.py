import json
import re
from pathlib import Path

import pytest

from brain_core.elasticsearch_setup import open_client, set_up
from brain_core.errors import DeliveryError, SettingsError
from brain_core.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
NOT_LOGGED = {"brain.caller", "brain.log_fields", "brain.stages_ms", "http.response.start", "log.original"}


def client(url):
    return open_client(Settings(logs={"elasticsearch_url": url, "elasticsearch_password": "secret"}))


def test_address_without_scheme_is_named():
    with pytest.raises(SettingsError, match="BRAIN_LOGS__ELASTICSEARCH_URL"):
        client("elasticsearch")


@pytest.mark.parametrize("content", [None, "{"])
def test_folder_without_a_template_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "index-template.json").write_text(content)
    with pytest.raises(SettingsError, match=r"index-template\.json"):
        set_up(client("http://127.0.0.1:1"), tmp_path)


def test_server_away_is_a_delivery_error(tmp_path):
    (tmp_path / "index-template.json").write_text('{"index_patterns": ["a"]}')
    with pytest.raises(DeliveryError, match="did not take the index template"):
        set_up(client("http://127.0.0.1:1"), tmp_path)


def test_every_field_that_the_product_logs_is_mapped():
    packages = ("brain_core", "brain_cli", "brain_assets", "serving", "dashboard")
    texts = [path.read_text() for package in packages for path in (ROOT / package).rglob("*.py")]
    pattern = re.compile(r'"((?:brain|error|event|http|log|process|service)\.[a-z_.]+)"')
    logged = {name for text in texts for name in pattern.findall(text)} - NOT_LOGGED
    template = json.loads((ROOT / "elk/index-template.json").read_text())
    assert len(logged) > 15
    assert logged <= set(template["template"]["mappings"]["properties"])
