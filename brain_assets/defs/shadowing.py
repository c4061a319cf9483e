"""Shadow mode: the challenger beside the champion on live traffic."""

import dagster as dg

from brain_assets.resources import BucketResource, DatabaseResource, RegistryResource
from brain_core.errors import BrainError
from brain_core.settings import Settings

INTERVAL_S = 30
ASSET = "promotion"
"""Where Dagit shows the agreement."""


def shadow_sensor_for(settings: Settings) -> dg.SensorDefinition:
    """The sensor, switched on by `BRAIN_MODEL__SHADOW`."""
    is_on = settings.model.shadow

    @dg.sensor(minimum_interval_seconds=INTERVAL_S, default_status=dg.DefaultSensorStatus.RUNNING)
    def shadow_sensor(
        bucket: BucketResource,
        database: DatabaseResource,
        registry: RegistryResource,
    ) -> dg.SensorResult:
        """Lets the challenger answer recent uploads too, and tells how often it names the champion's class."""
        if not is_on:
            return dg.SensorResult(skip_reason="Shadow mode is off (BRAIN_MODEL__SHADOW).")
        try:
            return _looked(bucket, database, registry)
        except BrainError as exc:
            return dg.SensorResult(skip_reason=f"Tried again later: {exc}")

    return shadow_sensor


def _looked(bucket: BucketResource, database: DatabaseResource, registry: RegistryResource) -> dg.SensorResult:
    from brain_assets.ml.registry import CHALLENGER
    from brain_assets.ml.shadow import answer_in_shadow
    from brain_core.shadow import ShadowStore

    version = registry.open().alias_version(CHALLENGER)
    if version is None:
        return dg.SensorResult(skip_reason="There is no challenger.")
    with database.engine() as engine:
        store = ShadowStore(engine)
        answered = answer_in_shadow(store, version, bucket.data(), bucket.inference())
        found = store.agreement(version)
    share = "none yet" if found.share is None else f"{found.share:.1%}"
    told = f"Challenger {version}: the champion's class on {share} of {found.images} uploads."
    if not answered:
        return dg.SensorResult(skip_reason=told)
    metadata: dict[str, str | int] = {"challenger": version, "uploads": found.images, "same_class": found.same_class}
    metadata |= {"corrected": found.corrected, "corrected_as_challenger": found.corrected_as_challenger}
    observation = dg.AssetObservation(ASSET, description=told, metadata=metadata)
    return dg.SensorResult(skip_reason=told, asset_events=[observation])
