"""A `.brain/` that an older or a newer version wrote."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect, make_url, text

import brain_core.migrations
from brain_cli.embedded_postgres import DATABASES
from brain_cli.parts import DAGSTER_YAML
from brain_cli.upgrades import BRAIN, DAGSTER, MLFLOW, Upgrades, state_of
from brain_core.database import upgrade_database
from brain_core.errors import StartupError
from brain_core.settings import sqlalchemy_url
from brain_core.tables import Base

OLDER_MLFLOW = """
import sys
from alembic import command
from sqlalchemy import create_engine
from mlflow.store.db.utils import InitialBase, _get_alembic_config
url, revision = sys.argv[1:]
InitialBase.metadata.create_all(create_engine(url))
command.upgrade(_get_alembic_config(url), revision)
"""
MAKE_DAGSTER = "from dagster import DagsterInstance; DagsterInstance.get()"


@pytest.fixture
def urls(postgres_url):
    """Three empty databases, as in a BRAIN_HOME."""
    engine = create_engine(sqlalchemy_url(postgres_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in DATABASES:
            connection.execute(text(f"DROP DATABASE IF EXISTS old_{name} WITH (FORCE)"))
            connection.execute(text(f"CREATE DATABASE old_{name}"))
    engine.dispose()
    return {name: postgres_url.replace("/postgres?", f"/old_{name}?") for name in DATABASES}


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def upgrades(urls, said, tmp_path) -> Upgrades:
    folder = tmp_path / "dagster"
    folder.mkdir()
    (folder / "dagster.yaml").write_text(DAGSTER_YAML.format(compute_logs=folder / "logs"))
    environment = {"DAGSTER_HOME": str(folder), "BRAIN_DATABASE__DAGSTER_URL": sqlalchemy_url(urls["dagster"])}
    return Upgrades(urls, environment, tmp_path / "logs", said.append)


def execute(url: str, statement: str) -> None:
    engine = create_engine(sqlalchemy_url(url))
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def look(url: str, what: Callable) -> set[str]:
    engine = create_engine(sqlalchemy_url(url))
    with engine.connect() as connection:
        found = set(what(connection))
    engine.dispose()
    return found


def revisions(url: str) -> set[str]:
    return look(url, lambda connection: connection.scalars(text("SELECT version_num FROM alembic_version")))


def tables(url: str) -> set[str]:
    return look(url, lambda connection: inspect(connection).get_table_names())


def step_back(url: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(brain_core.migrations.__file__).parent))
    config.attributes["url"] = make_url(sqlalchemy_url(url))
    command.downgrade(config, "-1")


def test_a_fresh_home_gets_the_tables_of_the_product_only(upgrades, urls, said):
    upgrades.upgrade_all()
    assert set(Base.metadata.tables) <= tables(urls["brain"])
    assert (tables(urls["mlflow"]), tables(urls["dagster"])) == (set(), set())
    assert said == []


def test_tables_of_an_older_version_are_upgraded(upgrades, urls):
    upgrade_database(sqlalchemy_url(urls["brain"]))
    newest = revisions(urls["brain"])
    step_back(urls["brain"])
    assert revisions(urls["brain"]) != newest
    upgrades.upgrade_brain()
    assert revisions(urls["brain"]) == newest
    assert set(Base.metadata.tables) <= tables(urls["brain"])


@pytest.mark.parametrize("name", DATABASES)
def test_tables_of_a_newer_version_are_refused_before_anything_changes(upgrades, urls, name):
    execute(urls[name], "CREATE TABLE alembic_version (version_num varchar)")
    execute(urls[name], "INSERT INTO alembic_version VALUES ('from_the_future')")
    with pytest.raises(StartupError, match=r"newer version wrote .* from_the_future.*BRAIN_HOME"):
        upgrades.upgrade_all()
    assert {name: tables(url) for name, url in urls.items() if tables(url)} == {name: {"alembic_version"}}


def test_mlflow_tables_of_an_older_version_are_upgraded(upgrades, urls, said):
    older = sorted(parent for parents in MLFLOW.revisions().values() for parent in parents)
    newest = set(MLFLOW.revisions()) - set(older)
    (before_newest,) = MLFLOW.revisions()[newest.pop()]
    url = sqlalchemy_url(urls["mlflow"])
    subprocess.run([sys.executable, "-c", OLDER_MLFLOW, url, before_newest], check=True, timeout=300)
    assert state_of(MLFLOW, revisions(url)) == "old"
    upgrades.upgrade_mlflow()
    assert state_of(MLFLOW, revisions(url)) == "current"
    assert said == ["Upgrading MLflow's tables"]


def test_dagster_tables_of_an_older_version_are_upgraded(upgrades, urls, said):
    environment = {**os.environ, **upgrades.environment}
    subprocess.run([sys.executable, "-c", MAKE_DAGSTER], check=True, env=environment, timeout=300)
    url = urls["dagster"]
    (newest,) = revisions(url)
    assert state_of(DAGSTER, [newest]) == "current"
    (before,) = DAGSTER.revisions()[newest]
    execute(url, f"UPDATE alembic_version SET version_num = '{before}'")
    upgrades.upgrade_dagster()
    assert revisions(url) == {newest}
    assert said == ["Upgrading Dagster's tables"]


def test_an_upgrade_that_fails_shows_why(upgrades, urls):
    older = next(revision for revision, parents in DAGSTER.revisions().items() if not parents)
    execute(urls["dagster"], "CREATE TABLE alembic_version (version_num varchar)")
    execute(urls["dagster"], f"INSERT INTO alembic_version VALUES ('{older}')")
    upgrades.environment["DAGSTER_HOME"] = "/nowhere"
    with pytest.raises(StartupError, match=r"dagster-upgrade failed with code 1(.|\n)*/nowhere"):
        upgrades.upgrade_dagster()


def test_tables_that_this_version_made_are_up_to_date(urls):
    upgrade_database(sqlalchemy_url(urls["brain"]))
    assert state_of(BRAIN, revisions(urls["brain"])) == "current"
