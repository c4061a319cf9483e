"""What readers corrected."""

import dagster as dg
import pandas as pd

from brain_assets.asset_store import version_of
from brain_assets.metadata import table
from brain_assets.resources import BucketResource, DatabaseResource


@dg.asset(group_name="feedback", kinds={"postgres", "parquet"})
def feedback_set(
    current_statistics: pd.DataFrame, dataset_splits: pd.DataFrame, database: DatabaseResource, bucket: BucketResource
) -> dg.MaterializeResult[pd.DataFrame]:
    """All accepted corrections of images that were not erased, and which of them may be trained on.

    Empty until readers correct something. Copies of test images are kept out.
    """
    from brain_assets.ml.feedback import corrected_statistics, correction_table, screen
    from brain_core.corrections import CorrectionStore

    with database.engine() as engine:
        corrections = correction_table(CorrectionStore(engine).accepted())
    test_keys = dataset_splits.loc[dataset_splits["part"] == "test", "key"]
    test_statistics = current_statistics[current_statistics["key"].isin(test_keys)]
    screened = screen(corrections, corrected_statistics(corrections, bucket.inference()), test_statistics)
    return dg.MaterializeResult(
        value=screened,
        data_version=dg.DataVersion(version_of(screened[["prediction_id", "revision", "is_used"]])),
        metadata={
            "rows": len(screened),
            "used": int(screened["is_used"].sum()),
            "by_class": table(screened.groupby("label").size().reset_index(name="corrections")),
            "left_out": table(screened.loc[~screened["is_used"], ["prediction_id", "label", "reason"]]),
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
    """No image that judges is also trained on: hashes of used corrections and of test images are disjoint."""
    test_keys = dataset_splits.loc[dataset_splits["part"] == "test", "key"]
    hashes = set(current_statistics.loc[current_statistics["key"].isin(test_keys), "pixel_sha256"])
    used = feedback_set[feedback_set["is_used"]]
    shared = hashes & set(used["pixel_sha256"])
    return dg.AssetCheckResult(passed=not shared, metadata={"shared_images": len(shared)})
