"""Train, validation and test by duplicate group, so that no copy of an image is on both sides."""

import hashlib
import math

import numpy as np
import pandas as pd

from brain_core.errors import SettingsError

PARTS = ("train", "validation", "test")
DEFAULT_FRACTIONS = (0.7, 0.1, 0.2)


def assign_splits(
    groups: pd.DataFrame,
    manifest: pd.DataFrame,
    fractions: tuple[float, float, float] = DEFAULT_FRACTIONS,
    seed: int = 0,
) -> pd.DataFrame:
    """Give whole groups to the parts, class by class; the same for the same groups and seed, whatever the row order.

    The fractions are of the groups of a class. A class with at least three groups is in every part. A group whose
    images disagree about the label counts for its most frequent one.

    Args:
        groups: `key` and `group`, see `duplicates.duplicate_groups`.
        manifest: `key` and `label`.
        fractions: of `PARTS`; each above 0, together 1.
        seed: chooses another assignment.

    Returns:
        One row an image, sorted by key: `key`, `label` (its own), `group`, `part`, and `is_representative`, true for
        the first key of each group.

    Raises:
        SettingsError: the fractions are not as described.
    """
    if min(fractions) <= 0 or not math.isclose(sum(fractions), 1.0):
        raise SettingsError(f"The split fractions {fractions} must each be above 0 and add up to 1.")
    images = groups[["key", "group"]].merge(manifest[["key", "label"]], on="key", validate="one_to_one")
    images = images.sort_values("key", ignore_index=True)
    images["part"] = images["group"].map(_part_by_group(images, fractions, seed))
    images["is_representative"] = ~images["group"].duplicated()
    return images[["key", "label", "group", "part", "is_representative"]]


def crossing_groups(splits: pd.DataFrame) -> list[int]:
    """Groups that have images in more than one part, sorted; empty for everything that `assign_splits` made."""
    parts = splits.groupby("group")["part"].nunique()
    return sorted(int(group) for group in parts.index[parts > 1])


def _part_by_group(images: pd.DataFrame, fractions: tuple[float, float, float], seed: int) -> dict[int, str]:
    # `images` is sorted by key, so that `first` does not depend on the order in which it came.
    table = images.groupby("group").agg(label=("label", _most_frequent), first_key=("key", "first"))
    table["order"] = [_shuffled(key, seed) for key in table["first_key"]]
    parts: dict[int, str] = {}
    for _, members in table.sort_values("order").groupby("label", sort=True):
        parts.update(zip(members.index, _parts(len(members), fractions), strict=True))
    return parts


def _most_frequent(labels: "pd.Series[str]") -> str:
    return str(labels.mode().iloc[0])


def _shuffled(key: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}/{key}".encode()).hexdigest()


def _parts(count: int, fractions: tuple[float, float, float]) -> list[str]:
    if count < len(PARTS):
        return ["train", "test"][:count]
    validation = int(np.clip(round(count * fractions[1]), 1, count - 2))
    test = int(np.clip(round(count * fractions[2]), 1, count - 1 - validation))
    return ["train"] * (count - validation - test) + ["validation"] * validation + ["test"] * test
