import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from brain_core.database import open_engine, translated_errors, upgrade_database
from brain_core.errors import DatabaseError, SettingsError
from brain_core.tables import Base


def test_the_migrations_make_the_tables_of_the_code(database_url):
    engine = create_engine(database_url)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    engine.dispose()
    assert differences == []


def test_upgrading_twice_changes_nothing(database_url):
    upgrade_database(database_url)


def test_a_server_that_is_away_is_an_error_of_ours(tmp_path):
    with pytest.raises(DatabaseError, match="PostgreSQL is away"):
        upgrade_database(f"postgresql+psycopg2://postgres@/brain?host={tmp_path}")


def test_a_read_only_engine_cannot_write(database_url):
    engine = open_engine(database_url, read_only=True)
    with engine.connect() as connection, pytest.raises(Exception, match="read-only transaction"):
        connection.execute(text("DELETE FROM feedback"))
    engine.dispose()


def test_a_fault_of_the_statement_is_not_called_away(database_url):
    engine = open_engine(database_url)
    with (
        pytest.raises(Exception, match="does_not_exist") as caught,
        translated_errors(),
        engine.connect() as connection,
    ):
        connection.execute(text("SELECT * FROM does_not_exist"))
    engine.dispose()
    assert not isinstance(caught.value, DatabaseError)


@pytest.mark.parametrize("connect", [open_engine, upgrade_database])
def test_a_malformed_url_is_a_settings_error_that_hides_the_password(connect):
    with pytest.raises(SettingsError, match="database URL is not one") as caught:
        connect("postgresql//user:hunter2@host")
    assert "hunter2" not in str(caught.value)
