"""The prediction API as a FastAPI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import anyio.to_thread
from fastapi import FastAPI

from brain_core.database import open_engine
from brain_core.labels import NOTICE
from brain_core.settings import Settings
from serving.deps import Seams, open_services
from serving.problems import add_problem_handlers
from serving.request_log import RequestLog
from serving.routes import consent, feedback, model, models, predictions, probes, problems, review

WORKER_THREADS = 15
"""As many as the engine has connections (5 and 10 in overflow), so that no request waits for one in vain."""


def create_app(settings: Settings, seams: Seams | None = None) -> FastAPI:
    """The API; connections, buckets and the champion's watch are opened when it starts.

    Args:
        settings: of the platform.
        seams: what a test puts in place of the product's own.

    Raises:
        SettingsError: no database is set.
    """
    engine = open_engine(settings.database_url)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = WORKER_THREADS
        with open_services(settings, engine, seams) as services:
            app.state.services = services
            yield

    app = FastAPI(
        title="Brain Assets",
        summary="Classifies brain MRI slices and shows where it looked.",
        description=NOTICE,
        version=version("brain-assets"),
        lifespan=lifespan,
    )
    for module in (consent, predictions, feedback, review, model, models, probes, problems):
        app.include_router(module.router)
    add_problem_handlers(app)
    app.add_middleware(RequestLog)
    return app
