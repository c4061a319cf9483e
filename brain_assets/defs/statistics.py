"""What the images are like, which of them are copies, and who may judge whom."""

import dagster as dg
import pandas as pd

from brain_assets.asset_store import version_of
from brain_assets.config import SplitParameters
from brain_assets.defs.ingestion import batches, raw_images, source_images
from brain_assets.metadata import figures, picture, progress_log, source_in, source_note, synthetic_note, table
from brain_assets.ml.versions import keep_finding, manifest_version
from brain_assets.resources import BucketResource, SourceResource
from brain_core.descriptors import DESCRIPTOR_NAMES

SIZES_SHOWN = 10
PAIRS_SHOWN = 4
"""In Dagit; the Data page has more of them."""

IN_PICTURE = "all_in_picture"
"""The shortcuts that a model can see, taken together."""

NO_ANNOTATIONS = b"file\n"
"""What an empty `annotations.csv` looks like."""


@dg.asset(group_name="statistics", partitions_def=batches, kinds={"parquet"})
def image_statistics(
    context: dg.AssetExecutionContext, raw_images: pd.DataFrame, bucket: BucketResource
) -> dg.MaterializeResult[pd.DataFrame]:
    """Descriptors, 256-bin histogram and thumbnail of every image of a batch that decodes.

    In the replaced system: `capture_statistics`.
    """
    from brain_assets.ml.statistics import image_statistics as compute

    statistics = compute(bucket.data(), raw_images, progress_log(context, "images described"))
    return dg.MaterializeResult(
        value=statistics.assign(batch=context.partition_key),
        data_version=dg.DataVersion(version_of(statistics[["key", "pixel_sha256"]])),
        metadata={"source": source_note(source_in(raw_images)), "rows": len(statistics)},
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
            "source": source_note(source_in(image_manifest)),
            "rows": len(statistics),
            "mean_by_class": table(summary),
            "sizes": table(_frequent_sizes(image_manifest)),
            "contact_sheet": picture(contact_sheet(stacked_thumbnails(shown))),
        },
    )


@dg.asset(group_name="statistics", kinds={"parquet"})
def histograms(image_manifest: pd.DataFrame, current_statistics: pd.DataFrame) -> dg.MaterializeResult[pd.DataFrame]:
    """Mean grey histogram of each class (256 bins); those of the single images are in `current_statistics`.

    In the replaced system: `histogram.pkl`, here without pickle.
    """
    from brain_assets.ml.plots import histograms_by_class
    from brain_assets.ml.statistics import class_histograms

    by_class = class_histograms(current_statistics)
    return dg.MaterializeResult(
        value=by_class,
        metadata={
            "source": source_note(source_in(image_manifest)),
            "rows": len(by_class),
            "histograms": picture(histograms_by_class(by_class)),
        },
    )


# The batches too: while new images wait to be read, Dagster would otherwise make this and all below twice.
@dg.asset(group_name="statistics", deps=[source_images, raw_images], kinds={"parquet"})
def annotations(
    image_manifest: pd.DataFrame, current_statistics: pd.DataFrame, source: SourceResource
) -> dg.MaterializeResult[pd.DataFrame]:
    """Patient, plane, slice and tumour box of each image, where known: from `annotations.csv` beside the source.

    Patients of the public data set are known to the product. Rows that cannot be used are listed with the reason.
    """
    from brain_assets.ml.annotations import annotate, read_annotations
    from brain_assets.ml.patients import patients_of, public_patients, with_public

    known = annotate(image_manifest, read_annotations(source.open().annotations() or NO_ANNOTATIONS))
    rows = with_public(known.table, public_patients(current_statistics))
    patients = patients_of(rows)
    return dg.MaterializeResult(
        value=rows,
        data_version=dg.DataVersion(version_of(rows)),
        metadata={
            "rows": int(rows.drop(columns="key").notna().any(axis=1).sum()),
            "images_with_patient": int(patients["key"].nunique()),
            "patients": int(patients["patient"].nunique()),
            "images_with_box": int(rows["x0"].notna().sum()),
            "left_out": table(known.problems),
        },
    )


@dg.asset(group_name="statistics", kinds={"parquet", "scipy"})
def duplicate_groups(
    image_manifest: pd.DataFrame, current_statistics: pd.DataFrame, annotations: pd.DataFrame, bucket: BucketResource
) -> dg.MaterializeResult[pd.DataFrame]:
    """Which images are copies of each other: exact, resized, re-encoded, mirrored or rotated.

    The published split leaks: the table says by class how many published Testing images are copies of Training images.
    """
    from brain_assets.ml.duplicates import find_duplicates
    from brain_assets.ml.leakage import leaked_pairs, published_split_leakage
    from brain_assets.ml.leakage_page import REPORT_FILE, leakage_report_html, pair_gallery, shown_pairs
    from brain_assets.ml.patients import patients_of

    found = find_duplicates(current_statistics)
    leakage = published_split_leakage(image_manifest, found.groups, patients_of(annotations))
    pairs = shown_pairs(leaked_pairs(image_manifest, found.links), bucket.data())
    source = source_in(image_manifest)
    page = leakage_report_html(leakage, pairs, manifest_version(image_manifest), synthetic_note(source))
    keep_finding(bucket.data(), image_manifest, "leakage", leakage, {REPORT_FILE: page.encode()})
    return dg.MaterializeResult(
        value=found.groups,
        data_version=dg.DataVersion(version_of(found.groups[["key", "group", "related_group"]])),
        metadata={
            "source": source_note(source),
            "rows": len(found.groups),
            "groups": int(found.groups["group"].nunique()),
            "largest_group": int(found.groups["group_size"].max()),
            "links": len(found.links),
            "published_split_leakage": table(leakage),
            "leaked_pairs": picture(pair_gallery(pairs[:PAIRS_SHOWN])),
        },
    )


@dg.asset(group_name="statistics", kinds={"parquet"})
def dataset_splits(
    image_manifest: pd.DataFrame,
    current_statistics: pd.DataFrame,
    duplicate_groups: pd.DataFrame,
    annotations: pd.DataFrame,
    bucket: BucketResource,
    config: SplitParameters,
) -> dg.MaterializeResult[pd.DataFrame]:
    """Train, validation and test, divided by what hangs together by copies and patients, stratified by class.

    Sticky: a test image stays one, and what hangs together with it goes to test too; `pulled_over` lists those.
    """
    from brain_assets.ml.earlier_splits import earlier_parts
    from brain_assets.ml.leakage_page import complete_report
    from brain_assets.ml.patients import components, patients_of
    from brain_assets.ml.splits import assign_splits

    together = components(duplicate_groups, patients_of(annotations))
    images = current_statistics[["key", "label", "pixel_sha256"]]
    splits = assign_splits(together, images, config.fractions, config.seed, earlier_parts(bucket.data()))
    splits = splits.merge(image_manifest[["key", "source"]], on="key", validate="one_to_one")
    splits = splits.merge(images[["key", "pixel_sha256"]], on="key", validate="one_to_one")
    counts = {"images": ("key", "size"), "groups": ("group", "nunique"), "components": ("component", "nunique")}
    sizes = splits.groupby(["part", "label"]).agg(**counts).reset_index()
    keep_finding(bucket.data(), image_manifest, "splits", sizes)
    complete_report(bucket.data(), manifest_version(image_manifest), splits)
    return dg.MaterializeResult(
        value=splits,
        data_version=dg.DataVersion(version_of(splits[["key", "label", "part", "pixel_sha256"]])),
        metadata={
            "source": source_note(source_in(splits)),
            "rows": len(splits),
            "components": int(splits["component"].nunique()),
            "sizes": table(sizes),
            "pulled_over": table(splits.loc[splits["pulled_from"].notna(), ["key", "pulled_from", "part"]]),
        },
    )


@dg.asset(group_name="statistics", kinds={"parquet", "scikitlearn"})
def shortcut_audit(
    image_manifest: pd.DataFrame,
    current_statistics: pd.DataFrame,
    duplicate_groups: pd.DataFrame,
    bucket: BucketResource,
) -> dg.MaterializeResult[pd.DataFrame]:
    """How well the class is told from what no doctor would use: size, compression, border, orientation, file name."""
    from brain_assets.ml.shortcuts import shortcut_audit as audit
    from brain_assets.ml.shortcuts import shortcut_plot

    source = source_in(image_manifest)
    found = audit(image_manifest, current_statistics, duplicate_groups)
    plot = shortcut_plot(found, synthetic_note(source))
    keep_finding(bucket.data(), image_manifest, "shortcuts", found, {"shortcuts.png": plot})
    return dg.MaterializeResult(
        value=found,
        metadata={
            "source": source_note(source),
            "rows": len(found),
            "audit": table(found),
            "plot": picture(plot),
        },
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


@dg.asset_check(asset=duplicate_groups, additional_ins={"image_manifest": dg.AssetIn("image_manifest")})
def published_split_does_not_leak(duplicate_groups: pd.DataFrame, image_manifest: pd.DataFrame) -> dg.AssetCheckResult:
    """No published Testing image is a copy of a Training image; a warning, since `dataset_splits` divides anew."""
    from brain_assets.ml.leakage import ALL_CLASSES, published_split_leakage

    leakage = published_split_leakage(image_manifest, duplicate_groups)
    shares = leakage.set_index("label")["leaked_share"].to_dict()
    by_class = leakage[["label", "testing_images", "leaked_images", "leaked_share"]]
    return dg.AssetCheckResult(
        passed=not shares.get(ALL_CLASSES),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={**figures({"leaked_share": shares.get(ALL_CLASSES)}), "by_class": table(by_class)},
    )


@dg.asset_check(asset=dataset_splits, blocking=True)
def no_duplicate_crosses_a_split(dataset_splits: pd.DataFrame) -> dg.AssetCheckResult:
    """No duplicate group has images in two parts."""
    from brain_assets.ml.splits import crossing_groups

    crossing = crossing_groups(dataset_splits)
    return dg.AssetCheckResult(passed=not crossing, metadata={"crossing_groups": len(crossing)})


@dg.asset_check(asset=dataset_splits, blocking=True, additional_ins={"annotations": dg.AssetIn("annotations")})
def no_patient_crosses_a_split(dataset_splits: pd.DataFrame, annotations: pd.DataFrame) -> dg.AssetCheckResult:
    """No patient, as far as patients are known, has images in two parts."""
    from brain_assets.ml.patients import patients_of
    from brain_assets.ml.splits import crossing_groups

    by_patient = patients_of(annotations).merge(dataset_splits[["key", "part"]], on="key")
    by_patient["number"] = pd.factorize(by_patient["patient"])[0]
    crossing = crossing_groups(by_patient, "number")
    patients = int(by_patient["patient"].nunique())
    return dg.AssetCheckResult(
        passed=not crossing, metadata={"crossing_patients": len(crossing), "known_patients": patients}
    )


@dg.asset_check(asset=shortcut_audit)
def no_shortcut_tells_the_class(shortcut_audit: pd.DataFrame) -> dg.AssetCheckResult:
    """No trait beside the brain tells the class better than chance; a warning, since only people can act on it."""
    found = shortcut_audit[shortcut_audit["is_shortcut"].astype(bool)]
    names = ", ".join(found["shortcut"]) or "none"
    return dg.AssetCheckResult(passed=found.empty, severity=dg.AssetCheckSeverity.WARN, metadata={"shortcuts": names})


def _frequent_sizes(manifest: pd.DataFrame) -> pd.DataFrame:
    """The most frequent widths and heights of what decodes: images in all, then those of each class."""
    good = manifest[manifest["decodes"].astype(bool)]
    counts = pd.crosstab([good["width"], good["height"]], good["label"])
    counts.insert(0, "images", counts.sum(axis=1))
    return counts.sort_values("images", ascending=False, kind="stable").head(SIZES_SHOWN).reset_index()
