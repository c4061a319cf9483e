"""Promotions that people asked for are carried out here: the API only queues them, since it knows no MLflow."""

import logging

import dagster as dg

from brain_assets.resources import BucketResource, DatabaseResource, RegistryResource
from brain_core.errors import BrainError
from brain_core.events import configure_logging
from brain_core.settings import load_settings

INTERVAL_S = 5
ASSET = "promotion"
"""Where Dagit shows what the sensor did."""

logger = logging.getLogger(__name__)


@dg.sensor(minimum_interval_seconds=INTERVAL_S, default_status=dg.DefaultSensorStatus.RUNNING)
def promotion_request_sensor(
    context: dg.SensorEvaluationContext, bucket: BucketResource, database: DatabaseResource, registry: RegistryResource
) -> dg.SensorResult:
    """Publishes the versions that somebody asked for on the Models page or through the API, also older ones."""
    from brain_core.promotion_requests import PromotionQueue

    try:
        with database.engine() as engine:
            if PromotionQueue(engine).depth() == 0:
                return dg.SensorResult(skip_reason="Nobody asks for another champion.")
            # Only now, since it imports MLflow.
            from brain_assets.ml.promotion_requests import carry_out_requests
            from brain_assets.ml.publishing import Stores

            told = carry_out_requests(Stores(engine, registry.open(), bucket.data()))
    except BrainError as exc:
        return dg.SensorResult(skip_reason=f"Tried again later: {exc}")
    for sentence in told:
        _log(context, sentence)
    events = [dg.AssetObservation(ASSET, description=sentence) for sentence in told]
    return dg.SensorResult(skip_reason=" ".join(told) or "Nobody asks for another champion.", asset_events=events)


def _log(context: dg.SensorEvaluationContext, message: str) -> None:
    context.log.info(message)
    configure_logging(load_settings(), "pipeline", to_stdout=False)
    logger.info(message, extra={"event.action": "promote-on-request", "event.outcome": "success"})
