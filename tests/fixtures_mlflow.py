"""A real MLflow server for the session, on the session's PostgreSQL."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from brain_cli.parts import platform_parts
from brain_cli.supervisor import Supervisor
from brain_core.settings import load_settings, sqlalchemy_url
from tests.fixtures_platform import free_ports


@pytest.fixture(scope="session")
def mlflow_url(postgres_url: str) -> Iterator[str]:
    """Address of the server, started as the platform starts it."""
    admin = create_engine(sqlalchemy_url(postgres_url), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE mlflow_test"))
    admin.dispose()
    port = free_ports(("MLFLOW",))["MLFLOW"]
    with tempfile.TemporaryDirectory(prefix="mlflow-", dir="/tmp") as folder:
        settings = load_settings(home=Path(folder), mlflow={"port": port})
        url = sqlalchemy_url(postgres_url).replace("/postgres?", "/mlflow_test?")
        (part,) = [part for part in platform_parts(settings, url) if part.name == "mlflow"]
        supervisor = Supervisor(Path(folder) / "logs", {})
        try:
            supervisor.start(part)
            supervisor.wait_until_ready(240, lambda _: None)
            yield part.url
        finally:
            supervisor.stop()
