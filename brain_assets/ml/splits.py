"""Train, validation and test by component, so that no copy and no patient of an image is on both sides.

A component is what holds together by copies and by patients, see `patients.components`. Earlier assignments are kept:
a test image stays a test image, whatever is added later.
"""

import hashlib
import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_core.errors import SettingsError

PARTS = ("train", "validation", "test")
DEFAULT_FRACTIONS = (0.7, 0.1, 0.2)

_FILL_ORDER = tuple(PARTS.index(part) for part in ("train", "test", "validation"))

TINY = 1e-9
"""Stands for the weight of a stratum without components, which nothing is divided by."""

Weights = NDArray[np.float64]


def assign_splits(
    groups: pd.DataFrame,
    manifest: pd.DataFrame,
    fractions: tuple[float, float, float] = DEFAULT_FRACTIONS,
    seed: int = 0,
    earlier: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Give whole components to the parts, class by class; the same for the same seed, whatever the row order.

    The fractions are of the duplicate groups of a class, met as well as whole components allow, and are met twice: by
    the components of one group and by those of several. These are of different kinds (single images of unknown people,
    and patients with many slices), and every part should know both. A class with at least three components is in every
    part, as far as earlier assignments leave it free. A component whose images disagree about the label counts for its
    most frequent one.

    Args:
        groups: `key`, `group` and, where patients are known, `component`; see `duplicates.duplicate_groups` and
            `patients.components`. Without `component` every group is its own.
        manifest: `key` and `label`; `pixel_sha256` too where `earlier` knows images by it.
        fractions: of `PARTS`; each above 0, together 1.
        seed: chooses another assignment of what is not decided by `earlier`.
        earlier: `part` by `key`, by `pixel_sha256` or by both. A component with an earlier test image goes wholly to
            test, else one with an earlier validation image to validation, else one with a train image to train.

    Returns:
        One row an image, sorted by key: `key`, `label` (its own), `group`, `component`, `part`, `is_representative`,
        true for the first key of each group, and `pulled_from`, the earlier part of an image that had to leave it
        because its component reaches into a stricter one (None for all others).

    Raises:
        SettingsError: the fractions are not as described, or `earlier` names another part.
    """
    if min(fractions) <= 0 or not math.isclose(sum(fractions), 1.0):
        raise SettingsError(f"The split fractions {fractions} must each be above 0 and add up to 1.")
    images = _labelled(groups, manifest)
    before = _earlier_ranks(images, earlier)
    kept = before.groupby(images["component"]).max()
    parts = _part_by_component(images, kept[kept >= 0], np.asarray(fractions), seed)
    images["part"] = images["component"].map(parts)
    images["is_representative"] = ~images["group"].duplicated()
    images["pulled_from"] = _pulled_from(images["part"], before)
    return images[["key", "label", "group", "component", "part", "is_representative", "pulled_from"]]


def crossing_groups(splits: pd.DataFrame, column: str = "group") -> list[int]:
    """Groups (or components) that have images in more than one part, sorted; empty for what `assign_splits` made."""
    parts = splits.groupby(column)["part"].nunique()
    return sorted(int(group) for group in parts.index[parts > 1])


def _labelled(groups: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    wanted = [name for name in ("key", "label", "pixel_sha256") if name in manifest]
    known = groups[["key", "group"]].assign(component=groups["component" if "component" in groups else "group"])
    if "pixel_sha256" not in wanted and "pixel_sha256" in groups:
        known["pixel_sha256"] = groups["pixel_sha256"]
    return known.merge(manifest[wanted], on="key", validate="one_to_one").sort_values("key", ignore_index=True)


def _earlier_ranks(images: pd.DataFrame, earlier: pd.DataFrame | None) -> "pd.Series[int]":
    """Position in `PARTS` of each image's strictest earlier part, -1 for a new image."""
    ranks = pd.Series(-1, index=images.index)
    if earlier is None:
        return ranks
    unknown = sorted(set(earlier["part"].astype(str)) - set(PARTS))
    if unknown:
        raise SettingsError(f"The earlier split has the parts {unknown}; only {list(PARTS)} are known.")
    rank = earlier["part"].map(PARTS.index).astype(int)
    for name in [name for name in ("key", "pixel_sha256") if name in images and name in earlier]:
        strictest = rank.groupby(earlier[name]).max()
        ranks = ranks.combine(images[name].map(strictest).fillna(-1).astype(int), max)
    return ranks


def _pulled_from(parts: "pd.Series[str]", before: "pd.Series[int]") -> list[str | None]:
    names = [PARTS[rank] if rank >= 0 else None for rank in before]
    return [name if name != part else None for name, part in zip(names, parts, strict=True)]


def _part_by_component(images: pd.DataFrame, kept: "pd.Series[int]", fractions: Weights, seed: int) -> dict[int, str]:
    # `images` is sorted by key, so that `first` does not depend on the order in which it came.
    table = images.groupby("component").agg(
        label=("label", _most_frequent), first_key=("key", "first"), weight=("group", "nunique")
    )
    table["order"] = [_shuffled(key, seed) for key in table["first_key"]]
    table["kept"] = kept.reindex(table.index, fill_value=-1)
    parts: dict[int, str] = {}
    for _, members in table.sort_values("order").groupby("label", sort=True):
        parts.update(_divided(members, fractions))
    return parts


def _divided(members: pd.DataFrame, fractions: Weights) -> Iterator[tuple[int, str]]:
    """Part of each component of one class: those that are kept, then those of several groups, then the others."""
    weights, kept = members["weight"].to_numpy(dtype=np.float64), members["kept"].to_numpy()
    names, is_free, is_single = members.index.to_numpy(), kept < 0, weights == 1
    yield from ((int(names[i]), PARTS[kept[i]]) for i in np.flatnonzero(~is_free))
    used, left = set(kept[~is_free].tolist()), int(is_free.sum())
    for stratum in (~is_single, is_single):
        wanted = np.maximum(fractions * weights[stratum].sum(), TINY)
        filled = np.array([weights[stratum & (kept == part)].sum() for part in range(len(PARTS))])
        for index in _placing_order(np.flatnonzero(stratum & is_free), weights, wanted.min()):
            empty = [part for part in _FILL_ORDER if part not in used]
            part = _best_part(filled, wanted, weights[index], empty[:left] if left <= len(empty) else list(_FILL_ORDER))
            filled[part] += weights[index]
            used.add(part)
            left -= 1
            yield int(names[index]), PARTS[part]


def _placing_order(rows: NDArray[np.intp], weights: Weights, smallest_part: float) -> list[int]:
    """What is heavier than the smallest part should be is placed while there is still room to balance it."""
    heavy = weights[rows] > smallest_part
    return [*rows[heavy][np.argsort(-weights[rows][heavy], kind="stable")].tolist(), *rows[~heavy].tolist()]


def _best_part(filled: Weights, wanted: Weights, weight: float, allowed: list[int]) -> int:
    """Which part a component of this weight has to join to make sum((filled - wanted)^2 / wanted) smallest.

    For components of weight 1 this is Sainte-Lague's apportionment.
    """
    cost = (2 * (filled - wanted) + weight) / wanted
    return min(allowed, key=lambda part: float(cost[part]))


def _most_frequent(labels: "pd.Series[str]") -> str:
    return str(labels.mode().iloc[0])


def _shuffled(key: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}/{key}".encode()).hexdigest()
