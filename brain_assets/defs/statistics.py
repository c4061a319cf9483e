"""What the images are like, which of them are copies, and who may judge whom."""

import dagster as dg
import pandas as pd

from brain_assets.asset_store import version_of
from brain_assets.config import SplitParameters
from brain_assets.defs.ingestion import batches
from brain_assets.metadata import picture, table
from brain_assets.resources import BucketResource
from brain_core.descriptors import DESCRIPTOR_NAMES


@dg.asset(group_name="statistics", partitions_def=batches, kinds={"parquet"})
def image_statistics(
    context: dg.AssetExecutionContext, raw_images: pd.DataFrame, bucket: BucketResource
) -> dg.MaterializeResult[pd.DataFrame]:
    """Descriptors, 256-bin histogram and thumbnail of every image of a batch that decodes.

    In the replaced system: `capture_statistics`.
    """
    from brain_assets.ml.statistics import image_statistics as compute

    statistics = compute(bucket.data(), raw_images)
    return dg.MaterializeResult(
        value=statistics.assign(batch=context.partition_key),
        data_version=dg.DataVersion(version_of(statistics[["key", "pixel_sha256"]])),
        metadata={"rows": len(statistics)},
    )


@dg.asset(group_name="statistics", kinds={"parquet"})
def current_statistics(
    image_manifest: pd.DataFrame, image_statistics: pd.DataFrame
) -> dg.MaterializeResult[pd.DataFrame]:
    """The statistics of the images in the manifest, from all batches: what everything below reads."""
    from brain_assets.ml.batches import of_manifest
    from brain_assets.ml.plots import contact_sheet
    from brain_assets.ml.statistics import stacked_thumbnails

    statistics = of_manifest(image_statistics, image_manifest)
    summary = statistics.groupby("label")[list(DESCRIPTOR_NAMES)].mean().reset_index()
    shown = statistics.groupby("label").head(8)
    return dg.MaterializeResult(
        value=statistics,
        data_version=dg.DataVersion(version_of(statistics[["key", "pixel_sha256", "label"]])),
        metadata={
            "rows": len(statistics),
            "mean_by_class": table(summary),
            "contact_sheet": picture(contact_sheet(stacked_thumbnails(shown))),
        },
    )


@dg.asset(group_name="statistics", kinds={"parquet"})
def histograms(current_statistics: pd.DataFrame) -> dg.MaterializeResult[pd.DataFrame]:
    """Mean grey histogram of each class (256 bins); those of the single images are in `current_statistics`.

    In the replaced system: `histogram.pkl`, here without pickle.
    """
    from brain_assets.ml.plots import histograms_by_class
    from brain_assets.ml.statistics import class_histograms

    by_class = class_histograms(current_statistics)
    return dg.MaterializeResult(
        value=by_class,
        metadata={"rows": len(by_class), "histograms": picture(histograms_by_class(by_class))},
    )


@dg.asset(group_name="statistics", kinds={"parquet", "scipy"})
def duplicate_groups(
    image_manifest: pd.DataFrame, current_statistics: pd.DataFrame
) -> dg.MaterializeResult[pd.DataFrame]:
    """Which images are copies of each other: exact, resized, re-encoded, mirrored or rotated.

    The published split leaks: the table says by class how many published Testing images are copies of Training images.
    """
    from brain_assets.ml.duplicates import duplicate_groups as find
    from brain_assets.ml.duplicates import published_split_leakage

    groups = find(current_statistics)
    return dg.MaterializeResult(
        value=groups,
        data_version=dg.DataVersion(version_of(groups[["key", "group"]])),
        metadata={
            "rows": len(groups),
            "groups": int(groups["group"].nunique()),
            "largest_group": int(groups["group"].value_counts().max()),
            "published_split_leakage": table(published_split_leakage(image_manifest, groups)),
        },
    )


@dg.asset(group_name="statistics", kinds={"parquet"})
def dataset_splits(
    image_manifest: pd.DataFrame, duplicate_groups: pd.DataFrame, config: SplitParameters
) -> dg.MaterializeResult[pd.DataFrame]:
    """Train, validation and test, divided by duplicate group, stratified by class.

    Slices of one patient may still be shared between the parts: patients are not known here.
    """
    from brain_assets.ml.splits import assign_splits

    validation, test = config.validation_share, config.test_share
    splits = assign_splits(duplicate_groups, image_manifest, (1 - validation - test, validation, test), config.seed)
    splits = splits.merge(image_manifest[["key", "source"]], on="key", validate="one_to_one")
    sizes = splits.groupby(["part", "label"]).agg(images=("key", "size"), groups=("group", "nunique")).reset_index()
    return dg.MaterializeResult(
        value=splits,
        data_version=dg.DataVersion(version_of(splits[["key", "part"]])),
        metadata={"rows": len(splits), "sizes": table(sizes)},
    )


@dg.asset_check(asset=duplicate_groups, additional_ins={"image_manifest": dg.AssetIn("image_manifest")})
def copies_agree_on_the_label(duplicate_groups: pd.DataFrame, image_manifest: pd.DataFrame) -> dg.AssetCheckResult:
    """No two copies of one image carry different labels."""
    labelled = duplicate_groups[["key", "group"]].merge(image_manifest[["key", "label"]], on="key")
    conflicts = labelled.groupby("group")["label"].nunique()
    conflicting = labelled[labelled["group"].isin(conflicts[conflicts > 1].index)]
    return dg.AssetCheckResult(
        passed=conflicting.empty,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"images_in_conflict": len(conflicting), "conflicts": table(conflicting.sort_values("group"))},
    )


@dg.asset_check(asset=dataset_splits, blocking=True)
def no_duplicate_crosses_a_split(dataset_splits: pd.DataFrame) -> dg.AssetCheckResult:
    """No duplicate group has images in two parts."""
    from brain_assets.ml.splits import crossing_groups

    crossing = crossing_groups(dataset_splits)
    return dg.AssetCheckResult(passed=not crossing, metadata={"crossing_groups": len(crossing)})
