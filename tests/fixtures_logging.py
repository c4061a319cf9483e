"""What one test does to the loggers reaches no other."""

import logging
from collections.abc import Iterator

import pytest

from brain_core.events import OWN_PACKAGES, SpoolHandler

CONFIGURED = (None, *OWN_PACKAGES, "uvicorn.access")
"""The loggers that `configure_logging` changes; None is the root."""


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in CONFIGURED]
    before = [(logger, logger.level, logger.disabled, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, disabled, handlers in before:
        _close_spools(logger, handlers)
        logger.setLevel(level)
        logger.disabled, logger.handlers = disabled, handlers
    logging.captureWarnings(False)


def _close_spools(logger: logging.Logger, kept: list[logging.Handler]) -> None:
    for handler in logger.handlers:
        if isinstance(handler, SpoolHandler) and handler not in kept:
            handler.close()
