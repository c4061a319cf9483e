"""What the routes are given (FastAPI dependencies): each is named once here, routes only name the type."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Engine

from brain_core.imaging import ImageLimits
from brain_core.keys import KeyStore, Scope
from brain_core.predictions import PredictionStore, StoredPrediction
from brain_core.settings import Settings, shared_folder
from brain_core.storage import Bucket, open_bucket
from serving.champion import ChampionWatch
from serving.headers import note_stage
from serving.intake import Intake
from serving.metrics import Metrics
from serving.predicting import Predictor
from serving.rate_limits import RateLimiter
from serving.request_log import note
from serving.security import KEY_HEADER, Caller, Guard, KeyRing
from serving.uploads import Upload, read_upload


@dataclass(frozen=True)
class Services:
    """Everything that the routes work with, opened once for the app."""

    settings: Settings
    engine: Engine
    images: Bucket
    champion: ChampionWatch
    store: PredictionStore
    predictor: Predictor
    guard: Guard
    intake: Intake
    metrics: Metrics


@contextmanager
def open_services(settings: Settings, engine: Engine, metrics: Metrics | None = None) -> Iterator[Services]:
    """Open the buckets and the champion's watch; close them and the engine at the end.

    None of them has to be there yet: a part that is away makes its requests fail until it comes.
    """
    images = open_bucket(settings.inference_bucket_uri)
    serving, metrics = settings.serving, metrics or Metrics()
    champion = ChampionWatch(open_bucket(settings.bucket_uri), serving.champion_poll_s, serving.threads, metrics)
    store = PredictionStore(engine)
    limits = ImageLimits(settings.upload.max_bytes, settings.upload.max_pixels)
    limiter = RateLimiter(shared_folder())
    champion.start()
    try:
        yield Services(
            settings=settings,
            engine=engine,
            images=images,
            champion=champion,
            store=store,
            predictor=Predictor(champion, images, store, limits),
            guard=Guard(serving, KeyRing(KeyStore(engine).active, serving.key_cache_s), limiter),
            intake=Intake(serving.queue, serving.buffer_bytes, metrics.queue),
            metrics=metrics,
        )
    finally:
        champion.stop()
        limiter.close()
        engine.dispose()


# Asynchronous although they wait for nothing: FastAPI sends others through a thread each.
async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]

_bearer = HTTPBearer(auto_error=False, scheme_name="access token", description="`access_token` of the upload's answer")


async def _access_token(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str:
    return credentials.credentials if credentials else ""


AccessToken = Annotated[str, Depends(_access_token)]


_api_key = APIKeyHeader(name=KEY_HEADER, auto_error=False, scheme_name="API key", description="`brain keys create`")
_CALLER = "brain.caller"


def require_scope(scope: Scope | str) -> Callable[..., Awaitable[Caller]]:
    """A dependency for routes: only callers that may do this; gives the `Caller`.

    `dependencies=[Depends(require_scope("read"))]` on a route is solved before the body is read.
    """
    needed = Scope(scope)

    async def admitted(
        request: Request, services: ServicesDep, key: Annotated[str | None, Depends(_api_key)]
    ) -> Caller:
        caller = await services.guard.admit(key, needed)
        request.scope[_CALLER] = caller
        if caller.key_id is not None:
            note(request, **{"brain.api_key.id": str(caller.key_id)})
        return caller

    admitted.__name__ = f"require_{needed.value}"
    return admitted


async def _caller(request: Request) -> Caller:
    caller: Caller = request.scope.get(_CALLER, Caller())
    return caller


CallerDep = Annotated[Caller, Depends(_caller)]
"""Who `require_scope` let in."""


async def _upload(request: Request, services: ServicesDep) -> AsyncIterator[Upload]:
    with services.intake.place() as place:
        started = time.perf_counter()
        upload = await read_upload(request, services.settings.upload.max_bytes, place.hold)
        note_stage(request, "read", (time.perf_counter() - started) * 1000)
        place.enter()
        yield upload


UploadDep = Annotated[Upload, Depends(_upload)]


async def _noted_id(request: Request, prediction_id: UUID) -> UUID:
    note(request, **{"brain.prediction.id": str(prediction_id)})
    return prediction_id


PredictionId = Annotated[UUID, Depends(_noted_id)]


def _own_prediction(services: ServicesDep, prediction_id: PredictionId, access_token: AccessToken) -> StoredPrediction:
    return services.store.get(prediction_id, access_token)


OwnPrediction = Annotated[StoredPrediction, Depends(_own_prediction)]
