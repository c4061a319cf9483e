"""Images from the source into the bucket, batch by batch, and the manifest of all that the source holds."""

from datetime import UTC, datetime

import dagster as dg
import pandas as pd

from brain_assets.asset_store import version_of
from brain_assets.metadata import picture, progress_log, source_note, table
from brain_assets.resources import BucketResource, SourceResource
from brain_core.labels import CLASSES

MAX_IMBALANCE = 10.0
"""Above this ratio of the largest class to the smallest, the balance check warns."""

batches = dg.DynamicPartitionsDefinition(name="batch")


@dg.observable_source_asset(
    group_name="ingestion",
    description="What the source holds; its data version is the hash of the listing and of the annotations beside it. "
    "`source_sensor` looks at it. In the replaced system: `check_source`, `check_source_flag`.",
)
def source_images(source: SourceResource, bucket: BucketResource) -> dg.DataVersion:
    """Look at the source."""
    from brain_assets.ml.batches import plan_batches

    return dg.DataVersion(plan_batches(source.open(), bucket.data(), source.batch_size).fingerprint)


@dg.asset(group_name="ingestion", partitions_def=batches, deps=[source_images], kinds={"parquet"})
def raw_images(
    context: dg.AssetExecutionContext, source: SourceResource, bucket: BucketResource
) -> dg.MaterializeResult[pd.DataFrame]:
    """A batch of images: key in the bucket, label, published split, hash, size, and whether each decodes.

    Only new and replaced images are read. In the replaced system: `download_data`.
    """
    from brain_assets.ml.batches import images_of, read_listing
    from brain_assets.ml.ingestion import ingest

    images = images_of(read_listing(bucket.data()), context.partition_key)
    opened = source.open()
    rows = ingest(opened, bucket.data(), images, progress_log(context, "images read"))
    return dg.MaterializeResult(
        value=rows.assign(batch=context.partition_key),
        data_version=dg.DataVersion(version_of(rows[["key", "sha256"]])),
        metadata={
            "source": source_note(opened.name),
            "rows": len(rows),
            "undecodable": int((~rows["decodes"]).sum()),
            "size_mb": round(float(rows["size_bytes"].sum()) / 1e6, 1),
        },
    )


@dg.asset(group_name="ingestion", deps=[source_images], kinds={"parquet"})
def image_manifest(raw_images: pd.DataFrame, bucket: BucketResource) -> dg.MaterializeResult[pd.DataFrame]:
    """Every image that the source holds now, from all batches; what was removed or replaced is not in it.

    Its data version is the hash of the content; `brain data versions` lists all that ever were.
    """
    from brain_assets.ml.batches import join_batches, read_listing
    from brain_assets.ml.plots import class_balance
    from brain_assets.ml.versions import keep_version

    manifest = join_batches(read_listing(bucket.data()), raw_images)
    kept = keep_version(bucket.data(), manifest, datetime.now(UTC))
    return dg.MaterializeResult(
        value=manifest,
        data_version=dg.DataVersion(kept.version),
        metadata={
            "source": source_note(kept.source),
            "rows": len(manifest),
            "undecodable": kept.unreadable_images,
            "batches": int(manifest["batch"].nunique()),
            "version": kept.version,
            "class_balance": picture(class_balance(manifest[manifest["decodes"]])),
        },
    )


@dg.asset_check(asset=image_manifest, blocking=True)
def source_is_not_empty(image_manifest: pd.DataFrame) -> dg.AssetCheckResult:
    """There is at least one image that decodes."""
    count = int(image_manifest["decodes"].sum())
    return dg.AssetCheckResult(passed=count > 0, metadata={"decodable_images": count})


@dg.asset_check(asset=image_manifest, blocking=True)
def images_decode(image_manifest: pd.DataFrame, source: SourceResource) -> dg.AssetCheckResult:
    """At most the allowed share of the images is unreadable (`BRAIN_SOURCE__MAX_UNDECODABLE_SHARE`)."""
    bad = image_manifest[~image_manifest["decodes"]]
    share = len(bad) / max(1, len(image_manifest))
    return dg.AssetCheckResult(
        passed=share <= source.max_undecodable_share,
        metadata={
            "undecodable_share": share,
            "allowed_share": source.max_undecodable_share,
            "undecodable_images": table(bad[["key", "reason"]]),
        },
    )


@dg.asset_check(asset=image_manifest, blocking=True)
def classes_are_known(image_manifest: pd.DataFrame) -> dg.AssetCheckResult:
    """Every label is one of the four classes."""
    unknown = sorted(set(image_manifest["label"]) - set(CLASSES))
    return dg.AssetCheckResult(passed=not unknown, metadata={"unknown_classes": ", ".join(unknown) or "none"})


@dg.asset_check(asset=image_manifest)
def classes_are_balanced(image_manifest: pd.DataFrame) -> dg.AssetCheckResult:
    """Every class has images, and none has ten times as many as another; a warning."""
    good = image_manifest[image_manifest["decodes"]]
    counts = good["label"].value_counts().reindex(CLASSES, fill_value=0)
    return dg.AssetCheckResult(
        passed=bool(counts.min() > 0 and counts.max() <= MAX_IMBALANCE * counts.min()),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={str(name): int(count) for name, count in counts.items()},
    )
