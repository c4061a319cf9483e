"""Which model answers."""

from typing import Any

import dagster as dg
import pandas as pd

from brain_assets.asset_store import ImageSet
from brain_assets.metadata import table
from brain_assets.ml.policy import ComparedFigure, Rule
from brain_assets.ml.records import PromotionRecord, RegisteredBundle
from brain_assets.resources import BucketResource, DatabaseResource, RegistryResource


@dg.asset(group_name="training", kinds={"postgres", "mlflow"})
def promotion(
    context: dg.AssetExecutionContext,
    inference_bundle: RegisteredBundle,
    transformed_test_set: ImageSet,
    dataset_splits: pd.DataFrame,
    current_statistics: pd.DataFrame,
    feedback_set: pd.DataFrame,
    bucket: BucketResource,
    database: DatabaseResource,
    registry: RegistryResource,
) -> dg.MaterializeResult[PromotionRecord]:
    """The decision between the new model and the champion, with every rule; publishes the winner.

    Keeping the champion is a success. The corrections that were trained on are claimed here.
    """
    from brain_assets.ml.deciding import settle_promotion
    from brain_assets.ml.judging import PromotionInputs
    from brain_assets.ml.metrics_table import metrics_table, readable
    from brain_assets.ml.publishing import Stores

    frozen = (transformed_test_set, dataset_splits, current_statistics)
    inputs = PromotionInputs(inference_bundle, *frozen, feedback_set, bucket.inference())
    with database.engine() as engine:
        stores = Stores(engine, registry.open(), bucket.data())
        record = settle_promotion(inputs, feedback_set, context.run_id, stores)
    models = readable(metrics_table(stores.registry))
    return dg.MaterializeResult(value=record, metadata=_shown(record) | {"metrics_table": table(models)})


def _shown(record: PromotionRecord) -> dict[str, Any]:
    decision = record.decision
    return {
        "version": record.version,
        "decision": "promoted" if decision.is_promoted else "kept the champion",
        "champion_before": record.champion_before or "none",
        "reason": decision.reason,
        "test_groups": record.test_groups,
        "left_out_groups": record.left_out_groups,
        "feedback_images": record.feedback_images,
        "rules": table(pd.DataFrame([_rule_row(rule) for rule in decision.rules])),
        "figures": table(pd.DataFrame([_figure_row(figure) for figure in decision.figures])),
    }


def _rule_row(rule: Rule) -> dict[str, object]:
    return {"rule": rule.name, "found": rule.value, "limit": rule.limit, "holds": rule.passed}


def _figure_row(figure: ComparedFigure) -> dict[str, object]:
    told = figure.difference
    difference = f"{told.value:+.4f} ({told.low:+.4f} to {told.high:+.4f})" if told else None
    return {**figure.model_dump(include={"name", "challenger", "champion"}), "difference": difference}
