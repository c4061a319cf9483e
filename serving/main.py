"""Entry point of the prediction API: `brain serve`, or `python -m serving.main`."""

import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from brain_core.errors import DatabaseError, SettingsError
from brain_core.events import configure_logging
from brain_core.settings import Settings, hand_down, load_settings, share_folder, shared_folder
from brain_core.threads import no_extra_threads
from serving.parent import end_with_parent

if TYPE_CHECKING:
    from fastapi import FastAPI

    from serving.protocol import BoundedProtocol

# A process that only starts workers needs nothing of the application: it is imported where it is used, and each worker
# is ready half a second sooner.

HEALTH_CHECK_S = 30
"""So long a worker may take to answer its parent, as while a busy machine starts it."""


def main(**overrides: Any) -> None:
    """Serve until the process is told to stop; exits with a sentence when a setting is wrong.

    Args:
        overrides: groups of settings that come before those of the environment.
    """
    try:
        settings = load_settings(**overrides)
        require_keys_for_address(settings)
        if settings.serving.workers > 1:
            _serve_with_workers(settings)
        else:
            _serve(settings)
    except SettingsError as exc:
        sys.exit(str(exc))


def worker_app() -> "FastAPI":
    """The application of one of several workers, which share a folder and read their settings from the environment."""
    from serving.app import create_app
    from serving.metrics import forget_dead_workers

    end_with_parent()
    settings = load_settings()
    configure_logging(settings, service="serving")
    folder = shared_folder()
    if folder is not None:
        forget_dead_workers(folder)
    no_extra_threads()
    return create_app(settings)


def server_options(settings: Settings) -> dict[str, Any]:
    """How uvicorn is run, whatever starts it."""
    serving = settings.serving
    return {
        "host": serving.host,
        "port": serving.port,
        "http": partial(_protocol, serving.head_timeout_s, serving.connections),
        "ws": "none",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": serving.grace_s,
        "timeout_worker_healthcheck": HEALTH_CHECK_S,
    }


def require_keys_for_address(settings: Settings) -> None:
    """Refuse an address of the outside as long as there is no API key.

    While the database is away nothing is refused: nobody is answered without a key anyway.

    Raises:
        SettingsError: there is no key that is good, or there are no tables.
    """
    host = settings.serving.host
    if settings.serving.is_local:
        return
    from sqlalchemy.exc import ProgrammingError

    from brain_core.database import open_engine
    from brain_core.keys import KeyStore

    engine = open_engine(settings.database_url, pool_size=1)
    try:
        has_keys = bool(KeyStore(engine).active())
    except DatabaseError:
        return
    except ProgrammingError as exc:
        raise SettingsError("The database has no table of API keys. Run `brain db upgrade` first.") from exc
    finally:
        engine.dispose()
    if not has_keys:
        raise SettingsError(
            f"BRAIN_SERVING__HOST is {host}, which others can reach, and there is no API key. "
            "Make one with `brain keys create NAME --scope predict`, or listen on 127.0.0.1."
        )


def _protocol(head_timeout_s: float, connections: int, **arguments: Any) -> "BoundedProtocol":
    from serving.protocol import BoundedProtocol, ConnectionLimits

    return BoundedProtocol(limits=ConnectionLimits(head_timeout_s, connections), **arguments)


def _serve(settings: Settings) -> None:
    from serving.app import create_app

    app = create_app(settings)
    configure_logging(settings, service="serving")
    no_extra_threads()
    # uvicorn raises the signal once more when it has finished; being told to stop is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(app, **server_options(settings))


def _serve_with_workers(settings: Settings) -> None:
    configure_logging(settings, service="serving")
    settings.database_url  # noqa: B018 - better said once here than by every worker
    with tempfile.TemporaryDirectory(prefix="brain-serving-") as folder:
        hand_down(settings)
        share_folder(Path(folder))
        options = server_options(settings)
        uvicorn.run("serving.main:worker_app", factory=True, workers=settings.serving.workers, **options)


if __name__ == "__main__":
    main()
