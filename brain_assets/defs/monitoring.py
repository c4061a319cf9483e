"""Do the images of today still look like those that the champion was judged on?"""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pandas as pd

from brain_assets.asset_store import read_table
from brain_assets.metadata import figures, table
from brain_assets.resources import BucketResource, DatabaseResource
from brain_core.bundle import REFERENCE_FILE, read_champion
from brain_core.labels import NOTICE
from brain_core.storage import drift_report_key, model_key, write_json

WINDOW_DAYS = 7


@dg.asset(group_name="monitoring", deps=["promotion"], kinds={"parquet"})
def reference_profile(bucket: BucketResource) -> dg.MaterializeResult[pd.DataFrame]:
    """Descriptors, answers and embeddings of the champion's own test images."""
    champion = read_champion(bucket.data())
    profile = read_table(bucket.data(), model_key(champion.version, REFERENCE_FILE))
    return dg.MaterializeResult(value=profile, metadata={"rows": len(profile), "model_version": champion.version})


@dg.asset(group_name="monitoring", kinds={"postgres", "parquet"})
def recent_predictions(database: DatabaseResource) -> dg.MaterializeResult[pd.DataFrame]:
    """Accepted predictions of the last seven days; empty while nobody asks."""
    from brain_assets.ml.monitoring import recent_predictions as read

    with database.engine() as engine:
        rows = read(engine, since=datetime.now(UTC) - timedelta(days=WINDOW_DAYS))
    return dg.MaterializeResult(value=rows, metadata={"rows": len(rows), "window_days": WINDOW_DAYS})


@dg.asset(group_name="monitoring", kinds={"evidently", "postgres"})
def drift_report(
    reference_profile: pd.DataFrame,
    recent_predictions: pd.DataFrame,
    bucket: BucketResource,
    database: DatabaseResource,
) -> dg.MaterializeResult[None]:
    """Evidently's report of recent predictions against the reference, and our own p-values; seen on the Drift page.

    With too few recent predictions drift is not assessed, and says so.
    """
    from brain_assets.ml.drift import assess_drift
    from brain_assets.ml.monitoring import save_drift_run

    assessment = assess_drift(reference_profile, recent_predictions)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    report_key = None
    if assessment.html is not None:
        report_key = drift_report_key(stamp, "html")
        bucket.data().write(report_key, assessment.html)
    write_json(bucket.data(), drift_report_key(stamp, "json"), {**assessment.summary, "notice": NOTICE})
    with database.engine() as engine:
        save_drift_run(engine, read_champion(bucket.data()).version, assessment, report_key)
    numbers = figures({"rows": assessment.row_count, "drifted_share": assessment.drifted_share})
    verdict = "drifted" if assessment.is_drifted else "no drift"
    return dg.MaterializeResult(
        metadata={
            **numbers,
            "verdict": verdict if assessment.is_assessed else "not assessed: too few recent predictions",
            "columns": table(pd.DataFrame(assessment.summary["columns"])),
        }
    )


@dg.asset_check(asset=drift_report)
def recent_predictions_do_not_drift(database: DatabaseResource) -> dg.AssetCheckResult:
    """The newest drift report found no drift; a warning, since only people can tell whether drift matters."""
    from brain_assets.ml.monitoring import newest_drift_run

    with database.engine() as engine:
        newest = newest_drift_run(engine)
    return dg.AssetCheckResult(
        passed=not newest.is_drifted,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"is_assessed": newest.is_assessed, "rows": newest.row_count},
    )
