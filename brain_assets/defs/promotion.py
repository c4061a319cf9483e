"""Which model answers."""

import dagster as dg
import pandas as pd

from brain_assets.asset_store import ImageSet
from brain_assets.metadata import table
from brain_assets.ml.records import PromotionRecord, RegisteredBundle
from brain_assets.resources import BucketResource, DatabaseResource, RegistryResource


@dg.asset(group_name="training", kinds={"postgres", "mlflow"})
def promotion(
    context: dg.AssetExecutionContext,
    inference_bundle: RegisteredBundle,
    transformed_test_set: ImageSet,
    current_statistics: pd.DataFrame,
    feedback_set: pd.DataFrame,
    bucket: BucketResource,
    database: DatabaseResource,
    registry: RegistryResource,
) -> dg.MaterializeResult[PromotionRecord]:
    """The decision between the new model and the champion, with every rule; publishes the winner.

    Keeping the champion is a success. The corrections that were trained on are claimed here.
    """
    from brain_assets.ml.deciding import apply_decision, decide_promotion

    record = decide_promotion(inference_bundle, transformed_test_set, current_statistics, bucket.data())
    with database.engine() as engine:
        apply_decision(record, feedback_set, context.run_id, (engine, registry.open(), bucket.data()))
    decision = record.decision
    return dg.MaterializeResult(
        value=record,
        metadata={
            "version": record.version,
            "decision": "promoted" if decision.is_promoted else "kept the champion",
            "reason": decision.reason,
            "rules": table(pd.DataFrame([rule.model_dump() for rule in decision.rules])),
        },
    )
