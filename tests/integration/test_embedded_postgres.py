import tempfile
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from brain_cli.embedded_postgres import DATABASES, embedded_postgres
from brain_core.errors import StartupError
from brain_core.settings import sqlalchemy_url


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp", ignore_cleanup_errors=True) as path:
        yield Path(path) / "data"


def test_three_databases_are_made_and_kept_over_a_restart(folder):
    with embedded_postgres(folder) as urls:
        assert set(urls) == set(DATABASES)
        engine = create_engine(sqlalchemy_url(urls["brain"]))
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE kept (n int)"))
        engine.dispose()
    with embedded_postgres(folder) as urls:
        engine = create_engine(sqlalchemy_url(urls["brain"]))
        with engine.begin() as connection:
            assert connection.scalar(text("SELECT count(*) FROM kept")) == 0
        engine.dispose()


def test_it_listens_on_no_network_address(folder):
    with embedded_postgres(folder) as urls:
        engine = create_engine(sqlalchemy_url(urls["brain"]))
        with engine.connect() as connection:
            assert connection.scalar(text("SHOW listen_addresses")) == ""
        engine.dispose()


def test_a_damaged_folder_is_an_error_of_ours(folder):
    folder.mkdir()
    (folder / "something").write_text("in the way")
    with pytest.raises(StartupError, match="PostgreSQL did not start"), embedded_postgres(folder):
        pytest.fail("started")
