"""Images from the source into the bucket."""

import dagster as dg
import pandas as pd

from brain_assets.asset_store import version_of
from brain_assets.metadata import picture, progress_log, source_note, table
from brain_assets.resources import BucketResource, SourceResource


@dg.asset(group_name="ingestion", kinds={"parquet"})
def raw_images(
    context: dg.AssetExecutionContext, source: SourceResource, bucket: BucketResource
) -> dg.MaterializeResult[pd.DataFrame]:
    """Every image of the source: key in the bucket, label, published split, hash, size, and whether it decodes.

    Images that cannot be decoded are listed with the reason and left out.
    In the replaced system: `check_source`, `check_source_flag` and `download_data`.
    """
    from brain_assets.ml.ingestion import ingest
    from brain_assets.ml.plots import class_balance

    opened = source.open()
    manifest = ingest(opened, bucket.data(), progress_log(context, "images read"))
    good = manifest[manifest["decodes"]]
    return dg.MaterializeResult(
        value=manifest,
        data_version=dg.DataVersion(version_of(manifest[["key", "sha256"]])),
        metadata={
            "source": source_note(opened.name),
            "source_fingerprint": opened.fingerprint(),
            "rows": len(manifest),
            "undecodable": int((~manifest["decodes"]).sum()),
            "size_mb": round(float(manifest["size_bytes"].sum()) / 1e6, 1),
            "class_balance": picture(class_balance(good)),
        },
    )


@dg.asset_check(asset=raw_images, blocking=True)
def source_is_not_empty(raw_images: pd.DataFrame) -> dg.AssetCheckResult:
    """There is at least one image that decodes."""
    count = int(raw_images["decodes"].sum())
    return dg.AssetCheckResult(passed=count > 0, metadata={"decodable_images": count})


@dg.asset_check(asset=raw_images, blocking=True)
def images_decode(raw_images: pd.DataFrame, source: SourceResource) -> dg.AssetCheckResult:
    """At most the allowed share of the images is unreadable (`BRAIN_SOURCE__MAX_UNDECODABLE_SHARE`)."""
    bad = raw_images[~raw_images["decodes"]]
    share = len(bad) / max(1, len(raw_images))
    return dg.AssetCheckResult(
        passed=share <= source.max_undecodable_share,
        metadata={
            "undecodable_share": share,
            "allowed_share": source.max_undecodable_share,
            "undecodable_images": table(bad[["key", "reason"]]),
        },
    )
