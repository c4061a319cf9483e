"""Connections to PostgreSQL and the migrations of the product's tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from brain_core.errors import DatabaseError

CONNECT_TIMEOUT_S = 5


def open_engine(url: str, pool_size: int = 5, read_only: bool = False) -> Engine:
    """A connection pool; a connection that died is replaced when it is taken out."""
    options = "-c timezone=utc" + (" -c default_transaction_read_only=on" if read_only else "")
    return create_engine(
        url,
        pool_size=pool_size,
        pool_pre_ping=True,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "options": options},
    )


def upgrade_database(url: str) -> None:
    """Bring the tables to the newest migration; safe to repeat.

    Raises:
        DatabaseError: PostgreSQL is away.
    """
    # Serving and the dashboard import this module and never migrate.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = url
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
