"""The prediction API as a FastAPI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import anyio.to_thread
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from brain_core.database import open_engine
from brain_core.labels import NOTICE
from brain_core.setting_groups import ServingSettings
from brain_core.settings import Settings
from serving.bodies import BodyLimits
from serving.deps import Seams, open_services
from serving.failures import Failures
from serving.foreign_sites import ForeignSites
from serving.headers import ResponseHeaders
from serving.metrics import Metrics
from serving.openapi import complete_openapi
from serving.problems import add_problem_handlers
from serving.request_log import RequestLog
from serving.routes import consent, feedback, model, models, predictions, probes, problems, review

WORKER_THREADS = 15
"""As many as the engine has connections (5 and 10 in overflow), so that no request waits for one in vain."""

_READABLE_HEADERS = ("X-Request-ID", "Server-Timing", "Retry-After", "Location")


def create_app(settings: Settings, seams: Seams | None = None) -> FastAPI:
    """The API; connections, buckets and the champion's watch are opened when it starts.

    Args:
        settings: of the platform.
        seams: what a test puts in place of the product's own.

    Raises:
        SettingsError: no database is set.
    """
    engine = open_engine(settings.database_url)
    metrics = Metrics()
    metrics.watch_pool(engine, WORKER_THREADS)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = WORKER_THREADS
        with open_services(settings, engine, metrics, seams) as services:
            app.state.services = services
            yield

    # Its page `/docs` brings its own scripts: a server without a way to the internet has one too.
    app = FastAPIOffline(
        redoc_url=None,
        static_url="/docs/files",
        title="Brain Assets",
        summary="Classifies brain MRI slices and shows where it looked.",
        description=NOTICE,
        version=version("brain-assets"),
        lifespan=lifespan,
    )
    for module in (consent, predictions, feedback, review, model, models, probes, problems):
        app.include_router(module.router)
    add_problem_handlers(app)
    _add_middleware(app, settings.serving, metrics)
    complete_openapi(app)
    return app


def _add_middleware(app: FastAPI, settings: ServingSettings, metrics: Metrics) -> None:
    """From the inside out: the one that is added last sees a request first."""
    app.add_middleware(BodyLimits, timeout_s=settings.body_timeout_s, upload_path=predictions.router.prefix)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["*"],
            expose_headers=_READABLE_HEADERS,
        )
    app.add_middleware(ForeignSites, settings=settings)
    app.add_middleware(Failures)
    app.add_middleware(ResponseHeaders)
    app.add_middleware(RequestLog, observe=metrics.request)
