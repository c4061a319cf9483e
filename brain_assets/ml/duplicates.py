"""Near-duplicates: the same slice again, also mirrored, rotated, resized, re-encoded or with another contrast.

Two images are linked when their standardised 32x32 thumbnails correlate above 0.98 under any of the eight flips and
rotations, or when their pixels are equal. Such a link joins copies of one slice, but also neighbouring slices of one
patient. Where the statistics carry a 64x64 `detail`, the two are told apart: a copy correlates above 0.995, or its
local structure does above 0.83. See docs/decisions/0006-what-counts-as-a-copy.md for where the numbers come from.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from brain_assets.ml.fingerprints import (
    ORIENTATIONS,
    best_orientations,
    detail_correlations,
    invariant_features,
    near_pairs,
    standard_pixels,
)
from brain_assets.ml.statistics import stacked_thumbnails
from brain_core.imaging import DETAIL_SIZE

__all__ = ["LINK_COLUMNS", "Duplicates", "duplicate_groups", "find_duplicates"]

MIN_CORRELATION = 0.98
CERTAIN_CORRELATION = 0.995
MIN_DETAIL_CORRELATION = 0.83
LINK_COLUMNS = (
    "key_a",
    "key_b",
    "correlation",
    "detail_correlation",
    "orientation",
    "is_copy",
    "is_exact",
    "is_upright",
)

_BLOCK_PAIRS = 2048

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Duplicates:
    """Who is a copy of whom.

    Attributes:
        groups: see `duplicate_groups`.
        links: `LINK_COLUMNS`, one row a pair, sorted by keys, `key_a` before `key_b`: `correlation` of the thumbnails
            when a is turned into `orientation` (one of `ORIENTATIONS`) to match b; `detail_correlation`, NaN where not
            needed or not known; `is_copy`, the same slice (else a near one); `is_exact`, equal pixels; `is_upright`,
            a copy without being turned. An exact copy is linked with the first image of these pixels only, which
            alone has the links to other images.
    """

    groups: pd.DataFrame
    links: pd.DataFrame


def duplicate_groups(statistics: pd.DataFrame) -> pd.DataFrame:
    """Group near-duplicates.

    Args:
        statistics: `key`, `pixel_sha256`, `thumbnail` (the bytes of uint8 (32, 32)) and, where known, `detail` (the
            bytes of uint8 (64, 64)). Without `detail` every link counts as a copy.

    Returns:
        One row an image, sorted by key: `key`; `group` of copies, numbered from 0 in the order of the first key;
        `upright_group`, the same when only unmirrored, unrotated links count; `group_size`; `related_group`, of
        copies and near slices. The result does not depend on the order of the rows.
    """
    return find_duplicates(statistics).groups


def find_duplicates(statistics: pd.DataFrame) -> Duplicates:
    """Groups as `duplicate_groups` returns them, and the links that they are made of."""
    table = statistics.sort_values("key", ignore_index=True)
    pixels = pd.factorize(table["pixel_sha256"])[0].astype(np.int64)
    first_of_pixels = np.flatnonzero(~pd.Series(pixels).duplicated())
    near = _near_links(table.iloc[first_of_pixels])
    copies = np.flatnonzero(pd.Series(pixels).duplicated())
    near["a"], near["b"] = first_of_pixels[near["a"]], first_of_pixels[near["b"]]
    exact = pd.DataFrame({"a": first_of_pixels[pixels[copies]], "b": copies, "correlation": np.float32(1)})
    exact = exact.assign(orientation=0, is_copy=True, is_exact=True, is_upright=True)
    links = pd.concat([near, exact] if len(near) else [exact], ignore_index=True).sort_values(["a", "b"])
    return Duplicates(_groups(table["key"], links), _named(table["key"], links))


def _near_links(distinct: pd.DataFrame) -> pd.DataFrame:
    """Links by position among images of distinct pixels: those of `LINK_COLUMNS` with `a` and `b` for the keys."""
    thumbnails = stacked_thumbnails(distinct)
    # Of two vectors of length 1 with correlation c the distance is sqrt(2 - 2c).
    first, second = near_pairs(invariant_features(thumbnails), float(np.sqrt(2 - 2 * MIN_CORRELATION)))
    blocks = [
        _verified(distinct, thumbnails, first[start : start + _BLOCK_PAIRS], second[start : start + _BLOCK_PAIRS])
        for start in range(0, len(first), _BLOCK_PAIRS)
    ]
    return pd.concat(blocks, ignore_index=True) if blocks else pd.DataFrame({"a": [], "b": []}, dtype=np.int64)


def _verified(distinct: pd.DataFrame, thumbnails: NDArray[np.uint8], first: Labels, second: Labels) -> pd.DataFrame:
    turn, correlation, upright = best_orientations(
        standard_pixels(thumbnails[first]), standard_pixels(thumbnails[second])
    )
    links = pd.DataFrame({"a": first, "b": second, "correlation": correlation, "orientation": turn, "upright": upright})
    links = links[links["correlation"] > MIN_CORRELATION].reset_index(drop=True)
    links["detail_correlation"] = _detail_correlations(distinct, links)
    is_known = links["correlation"].gt(CERTAIN_CORRELATION) | ("detail" not in distinct)
    links["is_copy"] = is_known | links["detail_correlation"].gt(MIN_DETAIL_CORRELATION)
    links["is_upright"] = links["is_copy"] & links.pop("upright").gt(MIN_CORRELATION)
    return links.assign(is_exact=False)


def _detail_correlations(distinct: pd.DataFrame, links: pd.DataFrame) -> NDArray[np.float32]:
    result = np.full(len(links), np.nan, dtype=np.float32)
    unsure = links[links["correlation"] <= CERTAIN_CORRELATION]
    if "detail" in distinct and len(unsure):
        left, right = (_details(distinct["detail"].iloc[unsure[side]]) for side in ("a", "b"))
        result[unsure.index] = detail_correlations(left, right, unsure["orientation"].to_numpy())
    return result


def _details(column: "pd.Series[bytes]") -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(column), dtype=np.uint8).reshape(-1, DETAIL_SIZE, DETAIL_SIZE)


def _groups(keys: "pd.Series[str]", links: pd.DataFrame) -> pd.DataFrame:
    groups = pd.DataFrame({"key": keys, "group": _joined(len(keys), links[links["is_copy"]])})
    groups["upright_group"] = _joined(len(keys), links[links["is_upright"]])
    groups["group_size"] = groups.groupby("group")["key"].transform("size")
    groups["related_group"] = _joined(len(keys), links)
    return groups


def _joined(count: int, links: pd.DataFrame) -> Labels:
    """Connected components, numbered in the order of their first image."""
    pairs = (links["a"].to_numpy(dtype=np.int64), links["b"].to_numpy(dtype=np.int64))
    graph = coo_array((np.ones(len(links), dtype=np.int8), pairs), shape=(count, count))
    components = connected_components(graph, directed=False)[1]
    return np.asarray(pd.factorize(components)[0], dtype=np.int64)


def _named(keys: "pd.Series[str]", links: pd.DataFrame) -> pd.DataFrame:
    names = keys.to_numpy()
    named = links.assign(
        key_a=names[links["a"].to_numpy(dtype=np.int64)],
        key_b=names[links["b"].to_numpy(dtype=np.int64)],
        orientation=np.asarray(ORIENTATIONS, dtype=object)[links["orientation"].to_numpy(dtype=np.int64)],
    )
    return named.reindex(columns=LINK_COLUMNS).reset_index(drop=True)
