"""Everything that Dagster loads."""

import dagster as dg

from brain_assets.defs import datasets, feedback, ingestion, monitoring, notifications, statistics, training
from brain_assets.defs.automation import JOBS, automation, monitoring_daily
from brain_assets.resources import (
    AssetIOManager,
    BucketResource,
    DatabaseResource,
    MailResource,
    RegistryResource,
    SourceResource,
)
from brain_core.settings import Settings, load_settings

MODULES = [ingestion, statistics, feedback, datasets, training, monitoring]


def build_definitions(settings: Settings) -> dg.Definitions:
    """All assets, checks, jobs, sensors and schedules for these settings; no secret becomes part of them."""
    return dg.Definitions(
        assets=dg.load_assets_from_modules(MODULES),
        asset_checks=dg.load_asset_checks_from_modules(MODULES),
        jobs=JOBS,
        schedules=[monitoring_daily],
        sensors=[*automation(settings), notifications.success_email, notifications.failure_email],
        # One process a run: TensorFlow, MLflow and Evidently are imported once, not once a step.
        executor=dg.in_process_executor,
        resources={
            "io_manager": AssetIOManager(uri=settings.bucket_uri),
            "bucket": BucketResource(uri=settings.bucket_uri, inference_uri=settings.inference_bucket_uri),
            "source": SourceResource(
                uri=settings.source.uri, max_undecodable_share=settings.source.max_undecodable_share
            ),
            "database": DatabaseResource(),
            "registry": RegistryResource(uri=settings.mlflow.uri, timeout_s=settings.mlflow.timeout_s),
            "mail": MailResource(),
        },
    )


defs = build_definitions(load_settings())
