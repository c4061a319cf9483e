"""From readers' corrections to images that may be trained on."""

from collections.abc import Sequence
from uuid import UUID

import pandas as pd

from brain_assets.ml.duplicates import duplicate_groups
from brain_assets.ml.statistics import image_statistics
from brain_core.corrections import Correction
from brain_core.errors import InvalidImage, ObjectNotFound
from brain_core.imaging import decode
from brain_core.storage import Bucket

COLUMNS = ("prediction_id", "revision", "key", "image_sha256", "label", "created_at")


def correction_table(corrections: Sequence[Correction]) -> pd.DataFrame:
    """One row a correction, with the image's key in the inference bucket as `key`."""
    rows = [
        (str(c.prediction_id), c.revision, c.image_key, c.image_sha256, c.label, c.created_at.isoformat())
        for c in corrections
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def corrections_of(table: pd.DataFrame) -> list[Correction]:
    """What `correction_table` was made from."""
    return [
        Correction(
            UUID(row["prediction_id"]),
            int(row["revision"]),
            row["key"],
            row["image_sha256"],
            row["label"],
            pd.Timestamp(row["created_at"]).to_pydatetime(),
        )
        for row in table.to_dict("records")
    ]


def corrected_statistics(table: pd.DataFrame, inference: Bucket) -> pd.DataFrame:
    """Statistics of the corrected images that are there and decode, as `statistics.image_statistics` makes them."""
    decodes = [_decodes(inference, key) for key in table["key"]]
    return image_statistics(inference, table.assign(decodes=decodes))


def screen(table: pd.DataFrame, statistics: pd.DataFrame, test_statistics: pd.DataFrame) -> pd.DataFrame:
    """Say of each correction whether its image may be trained on.

    Args:
        table: as `correction_table` makes it.
        statistics: statistics of the corrected images that decode, by `key`.
        test_statistics: statistics of the test images.

    Returns:
        The table with `pixel_sha256`, `is_used` (bool) and `reason` (why not; None when used). Left out are images
        that are missing, repeated (the newest correction holds), or copies of a test image.
    """
    reasons = pd.Series([None] * len(table), index=table.index, dtype=object)
    reasons[table.duplicated("image_sha256", keep="last")] = "the same image was corrected again later"
    reasons[table["key"].isin(_copies_of_test_images(statistics, test_statistics))] = "copy of a test image"
    reasons[~table["key"].isin(statistics["key"])] = "the image is missing or does not decode"
    hashes = table["key"].map(statistics.set_index("key")["pixel_sha256"])
    return table.assign(pixel_sha256=hashes, is_used=reasons.isna(), reason=reasons)


def _decodes(bucket: Bucket, key: str) -> bool:
    try:
        decode(bucket.read(key))
    except (ObjectNotFound, InvalidImage):
        return False
    return True


def _copies_of_test_images(statistics: pd.DataFrame, test_statistics: pd.DataFrame) -> set[str]:
    if statistics.empty or test_statistics.empty:
        return set()
    together = pd.concat([statistics, test_statistics], ignore_index=True)
    groups = duplicate_groups(together)
    # Near slices too: they show the head of a test image.
    test_groups = set(groups.loc[groups["key"].isin(test_statistics["key"]), "related_group"])
    touched = groups[groups["related_group"].isin(test_groups)]["key"]
    return set(touched) & set(statistics["key"])
