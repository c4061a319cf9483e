"""Entry point of the prediction API: `python -m serving.main`."""

import sys

import uvicorn

from brain_core.errors import SettingsError
from brain_core.events import configure_logging
from brain_core.settings import load_settings
from serving.app import create_app

GRACE_S = 10
"""Seconds that accepted requests get to finish when the process is told to stop."""


def main() -> None:
    """Serve until the process is told to stop; exits with a sentence when a setting is wrong."""
    try:
        settings = load_settings()
        app = create_app(settings)
        configure_logging(settings, service="serving")
    except SettingsError as exc:
        sys.exit(str(exc))
    uvicorn.run(
        app,
        host=settings.serving.host,
        port=settings.serving.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )


if __name__ == "__main__":
    main()
