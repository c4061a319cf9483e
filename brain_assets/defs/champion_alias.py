"""The published champion follows what people choose in MLflow."""

import logging
from typing import Any

import dagster as dg

from brain_assets.resources import BucketResource, DatabaseResource, RegistryResource
from brain_core.errors import BrainError
from brain_core.events import configure_logging
from brain_core.settings import load_settings

INTERVAL_S = 15
ASSET = "promotion"
"""Where Dagit shows what the sensor did."""

logger = logging.getLogger(__name__)


@dg.sensor(minimum_interval_seconds=INTERVAL_S, default_status=dg.DefaultSensorStatus.RUNNING)
def champion_alias_sensor(
    context: dg.SensorEvaluationContext, bucket: BucketResource, database: DatabaseResource, registry: RegistryResource
) -> dg.SensorResult:
    """Publishes the version that the MLflow alias `champion` names: somebody set it, or a promotion was interrupted.

    A retraining that was committed and then cut off is carried out first.
    """
    from brain_assets.ml.deciding import finish_retrainings
    from brain_assets.ml.publishing import Stores, VersionRefused, follow_alias

    try:
        with database.engine() as engine:
            stores = Stores(engine, registry.open(), bucket.data())
            for sentence in finish_retrainings(stores):
                _log(context, logging.WARNING, sentence)
            pointer = follow_alias(stores)
    except VersionRefused as exc:
        return _refused(context, str(exc))
    except BrainError as exc:
        # The cursor stays: what was told about a refused version is not told again.
        return dg.SensorResult(skip_reason=f"Tried again later: {exc}", cursor=context.cursor)
    if pointer is None:
        return dg.SensorResult(skip_reason="The published champion is the one that the alias names.", cursor="")
    told = f"Version {pointer.version} is the champion now, as the MLflow alias says."
    _log(context, logging.INFO, told)
    return dg.SensorResult(skip_reason=told, cursor="", asset_events=[_observation(told, {"version": pointer.version})])


def _refused(context: dg.SensorEvaluationContext, reason: str) -> dg.SensorResult:
    """The reason shows at every look; it is an error in the log, and an event of the asset, once."""
    told = f"The MLflow alias `champion` is not followed, the published champion stays. {reason}"
    if context.cursor == told:
        return dg.SensorResult(skip_reason=told, cursor=told)
    _log(context, logging.ERROR, told)
    return dg.SensorResult(skip_reason=told, cursor=told, asset_events=[_observation(told, {"refused": True})])


def _observation(description: str, metadata: dict[str, Any]) -> dg.AssetObservation:
    return dg.AssetObservation(ASSET, description=description, metadata=metadata)


def _log(context: dg.SensorEvaluationContext, level: int, message: str) -> None:
    context.log.log(level, message)
    configure_logging(load_settings(), "pipeline", to_stdout=False)
    outcome = "failure" if level >= logging.ERROR else "success"
    logger.log(level, message, extra={"event.action": "follow-champion-alias", "event.outcome": outcome})
