"""What the routes are given (FastAPI dependencies): each is named once here, routes only name the type."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import Depends, Header, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Engine

from brain_core.errors import ScopeMissing
from brain_core.fault_points import FaultPoint, pass_by
from brain_core.idempotency import IdempotencyKey
from brain_core.imaging import ImageLimits
from brain_core.outbox import ImageOutbox
from brain_core.prediction_records import ADMIN, Access, StoredPrediction
from brain_core.predictions import PredictionStore
from brain_core.promotion_requests import PromotionQueue
from brain_core.reviews import ReviewStore
from brain_core.settings import Settings
from brain_core.storage import Bucket, open_bucket
from brain_core.strays import StraySweeper
from serving.champion import ChampionWatch
from serving.predicting import Predictor
from serving.request_log import note
from serving.shelf import ImageShelf
from serving.upkeep import Rhythm, Upkeep
from serving.uploads import Upload, read_upload


@dataclass(frozen=True)
class Caller:
    """Who sent a request, by an API key."""

    name: str
    scopes: frozenset[str]

    def allows(self, scope: str) -> bool:
        """May this caller do this?"""
        return scope in self.scopes or "admin" in self.scopes


Authenticate = Callable[[str], Caller | None]
"""Gives the caller to whom an API key belongs; None for an unknown one."""


def nobody(_: str) -> Caller | None:
    """There are no API keys."""
    return None


class Seams(NamedTuple):
    """What a test puts in place of the product's own: who the callers are, and where to crash."""

    authenticate: Authenticate = nobody
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
    authenticate: Authenticate


@contextmanager
def open_services(settings: Settings, engine: Engine, seams: Seams | None = None) -> Iterator[Services]:
    """Open the buckets and the champion's watch; close them and the engine at the end.

    None of them has to be there yet: a part that is away makes its requests fail until it comes.
    """
    services = _opened(settings, engine, seams or Seams())
    services.champion.start()
    services.upkeep.start()
    try:
        yield services
    finally:
        services.upkeep.stop()
        services.champion.stop()
        engine.dispose()


def _opened(settings: Settings, engine: Engine, seams: Seams) -> Services:
    serving, reached = settings.serving, seams.reached
    images, models = open_bucket(settings.inference_bucket_uri), open_bucket(settings.bucket_uri)
    champion = ChampionWatch(models, serving.champion_poll_s, serving.threads)
    is_review_required = settings.feedback.review == "required"
    store, outbox = PredictionStore(engine, reached, is_review_required), ImageOutbox(engine, reached)
    shelf = ImageShelf(images, outbox)
    limits = ImageLimits(settings.upload.max_bytes, settings.upload.max_pixels)
    sweeper = StraySweeper(engine, images, serving.sweep_grace_s)
    return Services(
        settings=settings,
        engine=engine,
        images=images,
        models=models,
        champion=champion,
        store=store,
        outbox=outbox,
        shelf=shelf,
        predictor=Predictor(champion, shelf, store, limits, reached),
        upkeep=Upkeep(outbox, shelf, sweeper, Rhythm(serving.outbox_poll_s, serving.sweep_interval_s)),
        reviews=ReviewStore(engine),
        promotions=PromotionQueue(engine),
        authenticate=seams.authenticate,
    )


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]

_bearer = HTTPBearer(auto_error=False, scheme_name="access token", description="`access_token` of the upload's answer")


def _access_token(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str:
    return credentials.credentials if credentials else ""


AccessToken = Annotated[str, Depends(_access_token)]


_api_key = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="API key", description="For admin routes")


def _caller(services: ServicesDep, key: Annotated[str | None, Depends(_api_key)]) -> Caller | None:
    return services.authenticate(key) if key else None


OptionalCaller = Annotated[Caller | None, Depends(_caller)]


def require_scope(scope: str) -> Callable[[Caller | None], Caller]:
    """A dependency that gives the caller, who must have this scope."""

    def check(caller: OptionalCaller) -> Caller:
        if caller is None or not caller.allows(scope):
            raise ScopeMissing(f"This needs an API key with the scope {scope!r} in the header X-API-Key.", scope)
        return caller

    return check


AdminCaller = Annotated[Caller, Depends(require_scope("admin"))]


def _access(access_token: AccessToken, caller: OptionalCaller) -> Access:
    return ADMIN if caller is not None and caller.allows("admin") else access_token


AccessDep = Annotated[Access, Depends(_access)]


def _idempotency_key(
    caller: OptionalCaller,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="Name of this upload (a UUID): sent again with the same key, it gets the same answer.",
        ),
    ] = None,
) -> IdempotencyKey | None:
    return None if key is None else IdempotencyKey(key, caller.name if caller else "")


IdempotencyKeyDep = Annotated[IdempotencyKey | None, Depends(_idempotency_key)]


async def _upload(request: Request, services: ServicesDep) -> Upload:
    return await read_upload(request, services.settings.upload.max_bytes)


UploadDep = Annotated[Upload, Depends(_upload)]


def _noted_id(request: Request, prediction_id: UUID) -> UUID:
    note(request, **{"brain.prediction.id": str(prediction_id)})
    return prediction_id


PredictionId = Annotated[UUID, Depends(_noted_id)]


def _own_prediction(services: ServicesDep, prediction_id: PredictionId, access: AccessDep) -> StoredPrediction:
    return services.store.get(prediction_id, access)


OwnPrediction = Annotated[StoredPrediction, Depends(_own_prediction)]
