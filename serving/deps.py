"""What the routes are given (FastAPI dependencies): each is named once here, routes only name the type."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Engine

from brain_core.imaging import ImageLimits
from brain_core.predictions import PredictionStore, StoredPrediction
from brain_core.settings import Settings
from brain_core.storage import Bucket, open_bucket
from serving.champion import ChampionWatch
from serving.predicting import Predictor
from serving.request_log import note
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


@contextmanager
def open_services(settings: Settings, engine: Engine) -> Iterator[Services]:
    """Open the buckets and the champion's watch; close them and the engine at the end.

    None of them has to be there yet: a part that is away makes its requests fail until it comes.
    """
    images = open_bucket(settings.inference_bucket_uri)
    serving = settings.serving
    champion = ChampionWatch(open_bucket(settings.bucket_uri), serving.champion_poll_s, serving.threads)
    store = PredictionStore(engine)
    limits = ImageLimits(settings.upload.max_bytes, settings.upload.max_pixels)
    champion.start()
    try:
        yield Services(settings, engine, images, champion, store, Predictor(champion, images, store, limits))
    finally:
        champion.stop()
        engine.dispose()


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]

_bearer = HTTPBearer(auto_error=False, scheme_name="access token", description="`access_token` of the upload's answer")


def _access_token(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str:
    return credentials.credentials if credentials else ""


AccessToken = Annotated[str, Depends(_access_token)]


async def _upload(request: Request, services: ServicesDep) -> Upload:
    return await read_upload(request, services.settings.upload.max_bytes)


UploadDep = Annotated[Upload, Depends(_upload)]


def _noted_id(request: Request, prediction_id: UUID) -> UUID:
    note(request, **{"brain.prediction.id": str(prediction_id)})
    return prediction_id


PredictionId = Annotated[UUID, Depends(_noted_id)]


def _own_prediction(services: ServicesDep, prediction_id: PredictionId, access_token: AccessToken) -> StoredPrediction:
    return services.store.get(prediction_id, access_token)


OwnPrediction = Annotated[StoredPrediction, Depends(_own_prediction)]
