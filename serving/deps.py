"""What the routes are given (FastAPI dependencies): each is named once here, routes only name the type."""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import Depends, Header, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Engine

from brain_core.fault_points import FaultPoint, pass_by
from brain_core.idempotency import IdempotencyKey
from brain_core.imaging import ImageLimits
from brain_core.keys import KeyStore, Scope
from brain_core.outbox import ImageOutbox
from brain_core.prediction_records import ADMIN, Access, StoredPrediction
from brain_core.predictions import PredictionStore
from brain_core.promotion_requests import PromotionQueue
from brain_core.reviews import ReviewStore
from brain_core.settings import Settings, shared_folder
from brain_core.storage import Bucket, open_bucket
from brain_core.strays import StraySweeper
from serving.champion import ChampionWatch
from serving.headers import note_stage
from serving.intake import Intake, Place
from serving.judging import Judge
from serving.metrics import Metrics
from serving.predicting import Predictor
from serving.rate_limits import RateLimiter
from serving.request_log import note
from serving.security import KEY_HEADER, Caller, Guard, KeyRing
from serving.shelf import ImageShelf
from serving.upkeep import Rhythm, Upkeep
from serving.uploads import Upload, read_upload


class Seams(NamedTuple):
    """What a test puts in place of the product's own: where to crash."""

    reached: FaultPoint = pass_by


@dataclass(frozen=True)
class Services:
    """Everything that the routes work with, opened once for the app."""

    settings: Settings
    engine: Engine
    images: Bucket
    models: Bucket
    champion: ChampionWatch
    store: PredictionStore
    outbox: ImageOutbox
    shelf: ImageShelf
    predictor: Predictor
    upkeep: Upkeep
    reviews: ReviewStore
    promotions: PromotionQueue
    limiter: RateLimiter
    guard: Guard
    intake: Intake
    metrics: Metrics


@contextmanager
def open_services(
    settings: Settings, engine: Engine, metrics: Metrics | None = None, seams: Seams | None = None
) -> Iterator[Services]:
    """Open the buckets and the champion's watch; close them and the engine at the end.

    None of them has to be there yet: a part that is away makes its requests fail until it comes.
    """
    services = _opened(settings, engine, metrics or Metrics(), seams or Seams())
    services.champion.start()
    services.upkeep.start()
    try:
        yield services
    finally:
        services.upkeep.stop()
        services.champion.stop()
        services.limiter.close()
        engine.dispose()


def _opened(settings: Settings, engine: Engine, metrics: Metrics, seams: Seams) -> Services:
    serving, reached = settings.serving, seams.reached
    images, models = open_bucket(settings.inference_bucket_uri), open_bucket(settings.bucket_uri)
    champion = ChampionWatch(models, serving.champion_poll_s, serving.model_threads, metrics)
    is_review_required = settings.feedback.review == "required"
    store, outbox = PredictionStore(engine, reached, is_review_required), ImageOutbox(engine, reached)
    shelf = ImageShelf(images, outbox)
    limits = ImageLimits(settings.upload.max_bytes, settings.upload.max_pixels)
    sweeper = StraySweeper(engine, images, serving.sweep_grace_s)
    upkeep = Upkeep(outbox, shelf, sweeper, Rhythm(serving.outbox_poll_s, serving.sweep_interval_s))
    upkeep.on_outbox = lambda state: metrics.outbox(state.depth)
    limiter = RateLimiter(shared_folder())
    return Services(
        settings=settings,
        engine=engine,
        images=images,
        models=models,
        champion=champion,
        store=store,
        outbox=outbox,
        shelf=shelf,
        predictor=Predictor(Judge(champion, serving.runs_at_once), shelf, store, limits, reached),
        upkeep=upkeep,
        reviews=ReviewStore(engine),
        promotions=PromotionQueue(engine),
        limiter=limiter,
        guard=Guard(serving, KeyRing(KeyStore(engine).active, serving.key_cache_s), limiter),
        intake=Intake(serving.queue, serving.buffer_bytes, metrics.queue),
        metrics=metrics,
    )


def services_of(request: Request) -> Services:
    """The services; for code that is asked at every upload, where each further dependency costs time."""
    services: Services = request.app.state.services
    return services


# Asynchronous although they wait for nothing: FastAPI sends others through a thread each.
async def _services(request: Request) -> Services:
    return services_of(request)


ServicesDep = Annotated[Services, Depends(_services)]

_bearer = HTTPBearer(auto_error=False, scheme_name="access token", description="`access_token` of the upload's answer")


async def _access_token(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str:
    return credentials.credentials if credentials else ""


AccessToken = Annotated[str, Depends(_access_token)]


_api_key = APIKeyHeader(name=KEY_HEADER, auto_error=False, scheme_name="API key", description="`brain keys create`")
_CALLER = "brain.caller"


def require_scope(scope: Scope | str) -> Callable[..., Awaitable[Caller]]:
    """A dependency for routes: only callers that may do this; gives the `Caller`.

    `dependencies=[Depends(require_scope("read"))]` on a route is solved before its parameters.
    """
    needed = Scope(scope)

    async def admitted(request: Request, key: Annotated[str | None, Depends(_api_key)]) -> Caller:
        caller = await services_of(request).guard.admit(key, needed)
        request.scope[_CALLER] = caller
        if caller.key_id is not None:
            note(request, **{"brain.api_key.id": str(caller.key_id)})
        return caller

    return admitted


def _caller_of(request: Request) -> Caller:
    caller: Caller = request.scope.get(_CALLER, Caller())
    return caller


async def _caller(request: Request) -> Caller:
    return _caller_of(request)


CallerDep = Annotated[Caller, Depends(_caller)]
"""Who `require_scope` let in."""

AdminCaller = Annotated[Caller, Depends(require_scope("admin"))]


async def _access(access_token: AccessToken, caller: CallerDep) -> Access:
    return ADMIN if caller.is_admin else access_token


AccessDep = Annotated[Access, Depends(_access)]


async def _idempotency_key(
    request: Request,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="Name of this upload (a UUID): sent again with the same key, it gets the same answer.",
        ),
    ] = None,
) -> IdempotencyKey | None:
    return None if key is None else IdempotencyKey(key, _caller_of(request).name)


IdempotencyKeyDep = Annotated[IdempotencyKey | None, Depends(_idempotency_key)]


async def received(request: Request, services: Services, place: Place) -> Upload:
    """The upload of a request, which takes a place in the queue.

    Raises:
        Overloaded: the queue filled up meanwhile, or unfinished uploads hold too many bytes.
        BrainError, RequestValidationError: see `read_upload`.
    """
    started = time.perf_counter()
    upload = await read_upload(request, services.settings.upload.max_bytes, place.hold)
    note_stage(request, "read", (time.perf_counter() - started) * 1000)
    place.enter()
    return upload


async def _noted_id(request: Request, prediction_id: UUID) -> UUID:
    note(request, **{"brain.prediction.id": str(prediction_id)})
    return prediction_id


PredictionId = Annotated[UUID, Depends(_noted_id)]


def _own_prediction(services: ServicesDep, prediction_id: PredictionId, access: AccessDep) -> StoredPrediction:
    return services.store.get(prediction_id, access)


OwnPrediction = Annotated[StoredPrediction, Depends(_own_prediction)]
