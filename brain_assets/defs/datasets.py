"""What the model is trained on and judged by."""

import dagster as dg
import numpy as np
import pandas as pd

from brain_assets.asset_store import AssetStore, ImageSet, version_of
from brain_assets.config import AugmentationParameters, TrainingSetParameters
from brain_assets.metadata import picture, progress_log, source_in, source_note, table
from brain_assets.resources import BucketResource

SHOWN = 8


@dg.asset(group_name="training", kinds={"parquet"})
def training_set(
    dataset_splits: pd.DataFrame, feedback_set: pd.DataFrame, config: TrainingSetParameters
) -> dg.MaterializeResult[pd.DataFrame]:
    """Images to train and to tune on: the training and validation parts, and the corrections that may be used.

    Labels of one image that contradict each other are listed with what was made of them.
    """
    from brain_assets.ml.datasets import training_table
    from brain_assets.ml.feedback import conflicts
    from brain_assets.ml.tracking import table_version

    rows = training_table(dataset_splits, feedback_set, config.feedback_weight)
    sizes = rows.groupby(["part", "origin", "label"]).size().reset_index(name="images")
    return dg.MaterializeResult(
        value=rows,
        data_version=dg.DataVersion(table_version(rows)),
        metadata={
            "source": source_note(source_in(rows)),
            "rows": len(rows),
            "corrections": int((rows["origin"] == "feedback").sum()),
            "feedback_weight": config.feedback_weight,
            "sizes": table(sizes),
            "conflicts": table(conflicts(feedback_set)),
        },
    )


@dg.asset(group_name="training", kinds={"numpy"})
def augmented_dataset(
    context: dg.AssetExecutionContext,
    training_set: pd.DataFrame,
    annotations: pd.DataFrame,
    bucket: BucketResource,
    config: AugmentationParameters,
) -> dg.MaterializeResult[ImageSet]:
    """The training images and their altered copies as mapped uint8 shards: rotation, shift, shear, zoom, flip.

    Only copies of new images are made. In the replaced system: `augment_input_data`.
    """
    from brain_assets.ml.datasets import augmented_image_set, image_set, images_that_are_there, new_copies
    from brain_assets.ml.plots import before_and_after

    listed = training_set[training_set["part"] == "train"]
    rows = images_that_are_there(listed, bucket.inference())
    progress = progress_log(context, "images decoded")
    originals = image_set(rows, bucket.data(), bucket.inference(), annotations, progress)
    earlier = AssetStore(bucket.data()).read_former("augmented_dataset", ImageSet)
    augmented = augmented_image_set(originals, config.to_augmentation(), earlier)
    return dg.MaterializeResult(
        value=augmented,
        metadata={
            "source": source_note(source_in(rows)),
            "rows": len(augmented),
            "originals": len(originals),
            "erased_meanwhile": len(listed) - len(rows),
            "new_copies": new_copies(augmented, earlier),
            "with_box": int((~np.isnan(augmented.boxes).any(axis=1)).sum()),
            "before_and_after": picture(before_and_after(augmented, len(originals))),
        },
    )


@dg.asset(group_name="training", kinds={"numpy"})
def transformed_test_set(
    context: dg.AssetExecutionContext,
    dataset_splits: pd.DataFrame,
    annotations: pd.DataFrame,
    bucket: BucketResource,
) -> dg.MaterializeResult[ImageSet]:
    """The test images as the model sees them, unaltered.

    In the replaced system: `transform_testing_data`.
    """
    from brain_assets.ml.datasets import image_set
    from brain_assets.ml.plots import contact_sheet

    test = dataset_splits[dataset_splits["part"] == "test"].assign(origin="source")
    progress = progress_log(context, "images decoded")
    images = image_set(test, bucket.data(), bucket.inference(), annotations, progress)
    shown = slice(0, 4 * SHOWN)
    return dg.MaterializeResult(
        value=images,
        data_version=dg.DataVersion(version_of(test.reindex(columns=["key", "label", "pixel_sha256"]))),
        metadata={
            "source": source_note(source_in(test)),
            "rows": len(images),
            "groups": int(test["group"].nunique()),
            "contact_sheet": picture(contact_sheet(images.images[shown], boxes=images.boxes[shown])),
        },
    )
