import httpx

from brain_core.settings import Settings, sqlalchemy_url
from tests.fixtures_serving import missing_parts, running_api


def test_a_ready_server_says_so(api_url, client):
    assert client.is_ready()
    assert httpx.get(f"{api_url}/livez").json()["status"] == "alive"
    assert httpx.get(f"{api_url}/readyz").json()["model_version"] == "1"


def test_a_database_without_tables_is_not_ready(own_postgres, serving_settings, champion_bucket):
    url = sqlalchemy_url(own_postgres[1][0].get_uri())
    settings = Settings(**{**serving_settings.model_dump(), "database": {"url": url}}, _env_file=None)
    with running_api(settings) as api_url:
        assert missing_parts(api_url) == ["database"]
