"""Connections to PostgreSQL and the migrations of the product's tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError

from brain_core.errors import DatabaseError, SettingsError

CONNECT_TIMEOUT_S = 5


def open_engine(url: str, pool_size: int = 5, read_only: bool = False) -> Engine:
    """A connection pool; a connection that died is replaced when it is taken out.

    Raises:
        SettingsError: the URL is not one.
    """
    options = "-c timezone=utc" + (" -c default_transaction_read_only=on" if read_only else "")
    return create_engine(
        _parsed(url),
        pool_size=pool_size,
        pool_pre_ping=True,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "options": options},
    )


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as exc:
        # The message of the library would show the URL and with it a password.
        raise SettingsError("The database URL is not one. Write postgresql://user:password@host/database.") from exc


def upgrade_database(url: str) -> None:
    """Bring the tables to the newest migration; safe to repeat.

    Raises:
        DatabaseError: PostgreSQL is away.
        SettingsError: the URL is not one.
    """
    # Serving and the dashboard import this module and never migrate.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = _parsed(url)
    with translated_errors():
        command.upgrade(config, "head")


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn SQLAlchemy's connection errors into `DatabaseError`; faults of the statement itself stay what they are."""
    try:
        yield
    except (OperationalError, InterfaceError) as exc:
        raise DatabaseError(f"PostgreSQL is away: {_first_line(exc)}") from exc
    except DBAPIError as exc:
        if exc.connection_invalidated:
            raise DatabaseError(f"PostgreSQL is away: {_first_line(exc)}") from exc
        raise


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
