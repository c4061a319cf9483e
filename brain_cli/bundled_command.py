"""`brain models publish-bundled`: the model that comes with the package becomes the first champion."""

from typing import Annotated

import typer
from rich.console import Console

from brain_cli.interrupts import StopRequested, stop_on_signals
from brain_core.settings import Settings, load_settings

LEFT_OUT = "BRAIN_MODEL__BUNDLED is false: the bundled model is left out."
console = Console()


def publish_bundled(
    replace: Annotated[bool, typer.Option("--replace", help="Also where another model is the champion.")] = False,
) -> None:
    """Register the model that comes with the package and make it the champion, where there is none yet.

    Safe to repeat; `brain up` does it by itself. Where no platform runs on this BRAIN_HOME it needs BRAIN_DATABASE__URL
    and BRAIN_MLFLOW__URI.

    Exit codes: 0 there is a champion now, or the setting leaves the model out; 1 it failed; 130 or 143 interrupted,
    the next try goes on from what was done.

    Examples:
      brain models publish-bundled

      brain models publish-bundled --replace
    """
    settings = load_settings()
    if not settings.model.bundled:
        console.print(LEFT_OUT)
        return
    try:
        with stop_on_signals(lambda: None):
            _publish(_reachable(settings), replace)
    except StopRequested as stop:
        console.print("Interrupted; the next try goes on from what was done.")
        raise typer.Exit(stop.exit_code) from stop


def _reachable(settings: Settings) -> Settings:
    if settings.database.url is not None:
        return settings
    # In a container, where the database is named, the embedded parts are not installed.
    from brain_cli.addresses import running_settings

    return running_settings(settings)


def _publish(settings: Settings, replace: bool) -> None:
    from brain_assets.ml.pretrained import publish_pretrained, read_pretrained
    from brain_assets.ml.publishing import Stores
    from brain_assets.ml.registry import ModelRegistry
    from brain_core.database import open_engine
    from brain_core.storage import open_bucket

    model = read_pretrained()
    engine = open_engine(settings.database_url)
    registry = ModelRegistry(settings.mlflow.uri, settings.mlflow.timeout_s)
    try:
        published = publish_pretrained(model, Stores(engine, registry, open_bucket(settings.bucket_uri)), replace)
    finally:
        engine.dispose()
    if published.is_new:
        console.print(f"The bundled model is the champion now: version {published.champion}.")
    else:
        console.print(f"Version {published.champion} is the champion already; nothing was changed.")
