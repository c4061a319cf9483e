"""Where the tumour is: boxes as targets for the cells of a class map, and how well a map agrees with them.

A box is x0, y0, x1, y1 as fractions of the image's width and height; NaN where it is not known.
"""

import numpy as np
from numpy.typing import NDArray

from brain_assets.ml.figures import LocalisationFigures
from brain_assets.ml.resampling import Resampling
from brain_core.explain import peak
from brain_core.labels import CLASSES

NO_TUMOUR = CLASSES.index("notumor")
ALL_TUMOURS = "all"
PEAK_MARGIN = 0.1
"""A peak counts as in the box when it is at most this share of the box's size outside it."""

Boxes = NDArray[np.floating]
Maps = NDArray[np.floating]


def cell_targets(boxes: Boxes, labels: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.float32]:
    """What each cell of a class map should say, weighted: the target of a cross-entropy over the classes.

    A cell whose centre lies in the box should say the tumour's class, every other cell `notumor`; both sides weigh one
    half in total, so that a small tumour counts as much as all that surrounds it. A box without any centre in it gives
    its nearest cell the label: a small tumour must not vanish on the grid. In an image without a tumour every cell
    should say so. Where the tumour's box is not known nothing is asked of the cells.

    Args:
        boxes: float (N, 4).
        labels: int64 (N,), indices into `labels.CLASSES`.
        shape: height and width of the map in cells.

    Returns:
        float32 (N, height, width, 4), at least 0; each image's values add up to 1, or to 0 where nothing is asked.
    """
    inside = _inside(boxes, shape)
    is_healthy = labels == NO_TUMOUR
    is_known = ~np.isnan(boxes).any(axis=1) & ~is_healthy
    targets = np.zeros((len(labels), *shape, len(CLASSES)), dtype=np.float32)
    targets[is_healthy, ..., NO_TUMOUR] = 1 / (shape[0] * shape[1])
    for index in np.flatnonzero(is_known):
        cells = inside[index]
        targets[index, cells, labels[index]] = 0.5 / cells.sum()
        targets[index, ~cells, NO_TUMOUR] = 0.5 / max(1, (~cells).sum())
    return targets


def peaks(maps: Maps) -> NDArray[np.float64]:
    """Peak of each map (N, height, width) as x, y fractions of the image, see `explain.peak`: (N, 2)."""
    return np.array([peak(each) for each in maps], dtype=np.float64).reshape(-1, 2)


def peak_in_box(maps: Maps, boxes: Boxes, margin: float = PEAK_MARGIN) -> NDArray[np.bool_]:
    """Does the peak of each map lie in the box, widened by the margin? False where no box is known.

    The pointing game of Zhang et al. 2018 (doi 10.1007/s11263-017-1059-x) with a margin relative to the box.
    """
    x, y = peaks(maps).T
    x0, y0, x1, y1 = np.asarray(boxes, dtype=np.float64).T
    across, down = margin * (x1 - x0), margin * (y1 - y0)
    return np.asarray((x >= x0 - across) & (x <= x1 + across) & (y >= y0 - down) & (y <= y1 + down))


def energy_in_box(maps: Maps, boxes: Boxes) -> NDArray[np.float64]:
    """Share of each map's positive values that lies in the box, in [0, 1]; NaN without a box or positive values.

    The energy-based pointing game of Wang et al. 2020 (arXiv:1910.01279).
    """
    positive = np.maximum(np.asarray(maps, dtype=np.float64), 0)
    total = positive.sum(axis=(1, 2))
    share = np.where(_inside(boxes, (maps.shape[1], maps.shape[2])), positive, 0).sum(axis=(1, 2))
    is_known = ~np.isnan(boxes).any(axis=1) & (total > 0)
    return np.where(is_known, share / np.where(total > 0, total, 1), np.nan)


def localisation_figures(
    maps: Maps, boxes: Boxes, labels: NDArray[np.int64], components: NDArray[np.int64], seed: int = 0
) -> dict[str, LocalisationFigures]:
    """How well maps point at the tumours, by class and for `ALL_TUMOURS`; empty where no box is known.

    Args:
        maps: float (N, height, width), the evidence for the class of each image.
        boxes: float (N, 4).
        labels: int64 (N,), indices into `labels.CLASSES`.
        components: int64 (N,), images with the same number are resampled together.
        seed: of the resampling.
    """
    known = np.flatnonzero(~np.isnan(boxes).any(axis=1) & (labels != NO_TUMOUR))
    rows = {CLASSES[index]: known[labels[known] == index] for index in range(len(CLASSES))} | {ALL_TUMOURS: known}
    pointed, energy = peak_in_box(maps, boxes).astype(float), energy_in_box(maps, boxes)
    figures = {}
    for name, of_class in rows.items():
        resampling = Resampling(components[of_class], seed) if len(of_class) else None
        if resampling is not None and (in_box := resampling.mean(pointed[of_class])) is not None:
            share = resampling.mean(energy[of_class])
            figures[name] = LocalisationFigures(images=len(of_class), peak_in_box=in_box, energy_in_box=share)
    return figures


def mirrored(boxes: Boxes) -> Boxes:
    """The boxes of the images mirrored left-right."""
    turned = boxes.copy()
    turned[:, [0, 2]] = 1 - boxes[:, [2, 0]]
    return turned


def _inside(boxes: Boxes, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Cells whose centre is in the box, or the one nearest to the box's middle where there is none: (N, h, w)."""
    y = ((np.arange(shape[0]) + 0.5) / shape[0])[:, np.newaxis]
    x = (np.arange(shape[1]) + 0.5) / shape[1]
    x0, y0, x1, y1 = (np.asarray(side, dtype=np.float64)[:, np.newaxis, np.newaxis] for side in boxes.T)
    inside = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
    distance = (x - (x0 + x1) / 2) ** 2 + (y - (y0 + y1) / 2) ** 2
    nearest = distance <= distance.min(axis=(1, 2), keepdims=True)
    is_empty = ~inside.any(axis=(1, 2), keepdims=True)
    return np.asarray(inside | (is_empty & nearest))
