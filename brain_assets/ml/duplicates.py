"""Near-duplicates: the same slice again, also mirrored or rotated, and what they do to the published split.

Two images are linked when their standardised 32x32 thumbnails correlate above 0.98 under any of the eight flips and
rotations, or when their pixels are equal. A group is a connected component of these links.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from brain_assets.ml.statistics import stacked_thumbnails
from brain_core.descriptors import THUMBNAIL_SIZE
from brain_core.gate import standardised

MIN_CORRELATION = 0.98
ALL_CLASSES = "all"

_BLOCK_ROWS = 1024

Pixels = NDArray[np.float32]
Labels = NDArray[np.int64]


def duplicate_groups(statistics: pd.DataFrame) -> pd.DataFrame:
    """Group near-duplicates.

    Returns:
        One row an image, sorted by key: `key`; `group`, numbered from 0 in the order of the first key;
        `upright_group`, the same when only unmirrored, unrotated links count; `group_size`. The result does not
        depend on the order of the rows.
    """
    table = statistics.sort_values("key", ignore_index=True)
    thumbnails = standardised(stacked_thumbnails(table).reshape(-1, THUMBNAIL_SIZE**2))
    same_pixels = pd.factorize(table["pixel_sha256"])[0].astype(np.int64)
    upright = _joined(thumbnails, same_pixels, _ORIENTATIONS[:1])
    every = _joined(thumbnails, upright, _ORIENTATIONS[1:])
    groups = pd.DataFrame({"key": table["key"], "group": _numbered(every), "upright_group": _numbered(upright)})
    groups["group_size"] = groups.groupby("group")["key"].transform("size")
    return groups


def published_split_leakage(manifest: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """How many published `Testing` images are copies of `Training` images.

    Returns:
        One row a class and one for `all`: `label`, `testing_images`, `leaked_images`, `leaked_share` (of the testing
        images, [0, 1]), and `upright_leaked_share`, the same without mirrored and rotated links. Empty when nothing
        was published as `Testing`.
    """
    images = manifest[["key", "label", "published_split"]].merge(groups, on="key", validate="one_to_one")
    training = images[images["published_split"] == "Training"]
    testing = images[images["published_split"] == "Testing"].copy()
    testing["is_leaked"] = testing["group"].isin(training["group"])
    testing["is_upright_leaked"] = testing["upright_group"].isin(training["upright_group"])
    by_class = pd.concat([testing, testing.assign(label=ALL_CLASSES)]).groupby("label", sort=False)
    leakage = by_class.agg(
        testing_images=("key", "size"),
        leaked_images=("is_leaked", "sum"),
        leaked_share=("is_leaked", "mean"),
        upright_leaked_share=("is_upright_leaked", "mean"),
    )
    return leakage.reset_index()


def _turned(quarter_turns: int, is_mirrored: bool) -> Callable[[Pixels], Pixels]:
    def turn(rows: Pixels) -> Pixels:
        pixels = rows.reshape(-1, THUMBNAIL_SIZE, THUMBNAIL_SIZE)
        mirrored = pixels[..., ::-1] if is_mirrored else pixels
        return np.rot90(mirrored, quarter_turns, axes=(1, 2)).reshape(len(rows), -1)

    return turn


_ORIENTATIONS = tuple(_turned(turns, is_mirrored) for is_mirrored in (False, True) for turns in range(4))


def _joined(rows: Pixels, groups: Labels, orientations: tuple[Callable[[Pixels], Pixels], ...]) -> Labels:
    """Join the groups of rows that correlate when one of them is turned.

    Only later rows are compared with a block: a turn one way is found as the opposite turn the other way, and both
    are among the eight.
    """
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = rows[start : start + _BLOCK_ROWS]
        for turn in orientations:
            first, second = np.nonzero(turn(block) @ rows[start:].T > MIN_CORRELATION)
            # Joining at once, not at the end, keeps the memory bounded when very many images are alike.
            groups = _merged(groups, first + start, second + start)
    return groups


def _merged(groups: Labels, first: Labels, second: Labels) -> Labels:
    links = (np.ones(len(first), dtype=np.int8), (groups[first], groups[second]))
    graph = coo_array(links, shape=(len(groups), len(groups)))
    components = connected_components(graph, directed=False)[1]
    return np.asarray(components[groups], dtype=np.int64)


def _numbered(groups: Labels) -> Labels:
    return pd.factorize(groups)[0].astype(np.int64)
