import httpx
from sqlalchemy import create_engine, text

from brain_cli.upgrades import MLFLOW, state_of
from brain_core.settings import sqlalchemy_url


def test_the_server_is_ready_only_when_its_tables_are(mlflow_url, postgres_url):
    engine = create_engine(sqlalchemy_url(postgres_url).replace("/postgres?", "/mlflow_test?"))
    with engine.connect() as connection:
        current = list(connection.scalars(text("SELECT version_num FROM alembic_version")))
    engine.dispose()
    assert state_of(MLFLOW, current) == "current"


def test_artifacts_go_through_the_server(mlflow_url):
    answer = httpx.get(f"{mlflow_url}/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default")
    assert answer.json()["experiment"]["artifact_location"].startswith("mlflow-artifacts:/")


def test_the_pages_are_served(mlflow_url):
    answer = httpx.get(mlflow_url)
    assert answer.status_code == 200
    assert "<title>MLflow</title>" in answer.text


def test_a_page_of_another_site_may_not_change_anything(mlflow_url):
    answer = httpx.post(
        f"{mlflow_url}/api/2.0/mlflow/experiments/create",
        json={"name": "foreign"},
        headers={"Origin": "https://elsewhere.example"},
    )
    assert answer.status_code == 403
