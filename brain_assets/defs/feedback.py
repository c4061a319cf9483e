"""What readers corrected."""

import dagster as dg
import pandas as pd

from brain_assets.asset_store import version_of
from brain_assets.config import FeedbackParameters
from brain_assets.metadata import table
from brain_assets.resources import BucketResource, DatabaseResource

MAX_CONFLICT_SHARE = 0.1


@dg.asset(group_name="feedback", kinds={"postgres", "parquet"})
def feedback_set(
    current_statistics: pd.DataFrame,
    dataset_splits: pd.DataFrame,
    database: DatabaseResource,
    bucket: BucketResource,
    config: FeedbackParameters,
) -> dg.MaterializeResult[pd.DataFrame]:
    """All accepted corrections of images that were not erased: which are trained on, which judge, which are left out.

    Empty until readers correct something. Copies and near slices of test and validation images are kept out; of copies
    that readers disagree about, the policy decides.
    """
    from brain_assets.ml import feedback
    from brain_core.corrections import CorrectionStore

    with database.engine() as engine:
        store = CorrectionStore(engine)
        corrections, agreements = feedback.correction_table(store.accepted()), store.agreements()
    statistics = feedback.corrected_statistics(corrections, bucket.inference())
    source = current_statistics.merge(dataset_splits[["key", "part"]], on="key")
    screened = feedback.screen(corrections, statistics, source, agreements, config.to_policy())
    return dg.MaterializeResult(
        value=screened,
        data_version=dg.DataVersion(version_of(screened[["prediction_id", "revision", "part"]])),
        metadata={
            "rows": len(screened),
            "used": int(screened["is_used"].sum()),
            "held_out": int((screened["part"] == "test").sum()),
            "by_class": table(screened.groupby(["label", "part"], dropna=False).size().reset_index(name="corrections")),
            "left_out": table(screened.loc[screened["part"].isna(), ["prediction_id", "label", "reason"]]),
            "conflicts": table(feedback.conflicts(screened)),
            "who_agreed": table(screened[["prediction_id", "label", "votes", "votes_against", "reviewer"]]),
        },
    )


@dg.asset_check(
    asset=feedback_set,
    blocking=True,
    additional_ins={name: dg.AssetIn(name) for name in ("current_statistics", "dataset_splits")},
)
def no_used_correction_copies_a_test_image(
    feedback_set: pd.DataFrame, current_statistics: pd.DataFrame, dataset_splits: pd.DataFrame
) -> dg.AssetCheckResult:
    """No image that judges is also trained on: hashes of used corrections and of what judges are disjoint."""
    test_keys = dataset_splits.loc[dataset_splits["part"] == "test", "key"]
    hashes = set(current_statistics.loc[current_statistics["key"].isin(test_keys), "pixel_sha256"])
    hashes |= set(feedback_set.loc[feedback_set["part"] == "test", "pixel_sha256"])
    used = feedback_set[feedback_set["is_used"]]
    shared = hashes & set(used["pixel_sha256"])
    return dg.AssetCheckResult(passed=not shared, metadata={"shared_images": len(shared)})


@dg.asset_check(asset=feedback_set)
def readers_agree(feedback_set: pd.DataFrame) -> dg.AssetCheckResult:
    """At most a tenth of the corrections contradict another label of the same image; a warning."""
    from brain_assets.ml.feedback import conflicts

    share = len(conflicts(feedback_set)) / max(1, len(feedback_set))
    return dg.AssetCheckResult(
        passed=share <= MAX_CONFLICT_SHARE, severity=dg.AssetCheckSeverity.WARN, metadata={"share": round(share, 4)}
    )
