"""Everything that Dagster loads."""

import dagster as dg

from brain_assets.defs import (
    baseline,
    bundling,
    datasets,
    evaluation,
    feedback,
    ingestion,
    monitoring,
    notifications,
    promotion,
    statistics,
    training,
)
from brain_assets.defs.automation import automation, jobs, monitoring_daily
from brain_assets.defs.training_runs import RETRAINING_TAG
from brain_assets.resources import (
    AssetIOManager,
    BucketResource,
    DatabaseResource,
    MailResource,
    RegistryResource,
    SourceResource,
)
from brain_core.settings import Settings, load_settings

MODULES = [ingestion, statistics, feedback, datasets, training, evaluation, bundling, promotion, monitoring, baseline]
MONITORING_GROUP = "monitoring"
FLOWS_DOWN = (
    dg.AutomationCondition.eager().replace(
        "newly_updated_without_root",
        dg.AutomationCondition.newly_updated()
        & ~dg.AutomationCondition.executed_with_root_target()
        & ~dg.AutomationCondition.all_new_updates_have_run_tags(tag_keys={RETRAINING_TAG}),
    )
    & dg.AutomationCondition.all_deps_blocking_checks_passed()
)
"""An asset is made again as soon as what it is made from is new and passed its blocking checks.

What a retraining made is left to the retraining: where it was cut off, `feedback_threshold_sensor` starts it again.
"""


def build_definitions(settings: Settings) -> dg.Definitions:
    """All assets, checks, jobs, sensors and schedules for these settings; no secret becomes part of them."""
    return dg.Definitions(
        assets=_assets(),
        asset_checks=dg.load_asset_checks_from_modules(MODULES),
        jobs=jobs(settings),
        schedules=[monitoring_daily],
        sensors=[
            *automation(settings),
            notifications.started_email,
            notifications.success_email,
            notifications.failure_email,
        ],
        # One process a run: TensorFlow, MLflow and Evidently are imported once, not once a step.
        executor=dg.in_process_executor,
        resources={
            "io_manager": AssetIOManager(uri=settings.bucket_uri),
            "bucket": BucketResource(uri=settings.bucket_uri, inference_uri=settings.inference_bucket_uri),
            "source": SourceResource(
                uri=settings.source.uri,
                batch_size=settings.source.batch_size,
                max_undecodable_share=settings.source.max_undecodable_share,
            ),
            "database": DatabaseResource(),
            "registry": RegistryResource(uri=settings.mlflow.uri, timeout_s=settings.mlflow.timeout_s),
            "mail": MailResource(),
        },
    )


def _assets() -> list[dg.AssetsDefinition | dg.SourceAsset]:
    loaded = dg.load_assets_from_modules(MODULES)
    return [_flowing_down(asset) for asset in loaded if isinstance(asset, (dg.AssetsDefinition, dg.SourceAsset))]


def _flowing_down(asset: dg.AssetsDefinition | dg.SourceAsset) -> dg.AssetsDefinition | dg.SourceAsset:
    # Batches have their sensor, monitoring its schedule; the baseline is made by hand.
    if isinstance(asset, dg.SourceAsset) or asset.partitions_def is not None:
        return asset
    if asset.group_names_by_key[asset.key] in {MONITORING_GROUP, baseline.BASELINE_GROUP}:
        return asset
    return asset.map_asset_specs(lambda spec: spec.replace_attributes(automation_condition=FLOWS_DOWN))


defs = build_definitions(load_settings())
