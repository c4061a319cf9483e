"""Uploads that their owners erased leave the pipeline's own values too."""

import logging

import dagster as dg

from brain_assets.asset_store import AssetStore
from brain_assets.resources import BucketResource, DatabaseResource
from brain_core.errors import BrainError
from brain_core.events import configure_logging
from brain_core.settings import load_settings

INTERVAL_S = 60

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

logger = logging.getLogger(__name__)


@dg.sensor(minimum_interval_seconds=INTERVAL_S, default_status=dg.DefaultSensorStatus.RUNNING)
def erasure_sensor(
    context: dg.SensorEvaluationContext, bucket: BucketResource, database: DatabaseResource
) -> dg.SkipReason:
    """Takes erased uploads out of training sets, shards and tables, while no run could write them again."""
    from brain_core.erasures import ErasureStore

    try:
        with database.engine() as engine:
            erasures = ErasureStore(engine)
            erased = erasures.unpurged()
            if not erased:
                return dg.SkipReason("Nothing was erased since the last look.")
            if context.instance.get_runs_count(dg.RunsFilter(statuses=_UNDER_WAY)):
                return dg.SkipReason(
                    f"{len(erased)} erased uploads: their copies are removed when no run is under way."
                )
            from brain_assets.ml.erasure import purge

            removed = purge(AssetStore(bucket.data()), set(erased))
            erasures.settle(erased)
    except BrainError as exc:
        return dg.SkipReason(f"Tried again later: {exc}")
    told = ", ".join(f"{count} of {asset}" for asset, count in removed.items()) or "none"
    return _told(context, f"Copies of {len(erased)} erased uploads removed: {told}.")


def _told(context: dg.SensorEvaluationContext, message: str) -> dg.SkipReason:
    context.log.info(message)
    configure_logging(load_settings(), "pipeline", to_stdout=False)
    logger.info(message, extra={"event.action": "purge-erased", "event.outcome": "success"})
    return dg.SkipReason(message)
