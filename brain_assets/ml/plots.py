"""Pictures for Dagit: PNG bytes, each small enough to be metadata."""

import io
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from brain_assets.asset_store import ImageSet
from brain_assets.ml.calibration import reliability
from brain_assets.ml.metrics import Labels, Probabilities, expected_calibration_error
from brain_assets.ml.statistics import stacked_histograms
from brain_core.labels import CLASSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PNG_BYTES = 60_000

_CELL_SIZES = (96, 80, 64, 48, 32)
_GREY_LEVELS = 32
_CHART_COLOURS = 64
_GAP_PIXELS = 2
_BOX_COLOUR = (255, 200, 0)


def class_balance(table: pd.DataFrame, part_column: str = "published_split") -> bytes:
    """Bars of the number of images of each class, side by side for each value of `part_column`.

    Args:
        table: `label` and `part_column`, such as a manifest, or the splits with their `part`.
        part_column: what the bars of a class are told apart by.
    """
    counts = pd.crosstab(table["label"], table[part_column].replace("", "images"))
    figure, axes = _figure("Images by class")
    positions = np.arange(len(counts))
    width = 0.8 / max(1, len(counts.columns))
    for index, part in enumerate(counts.columns):
        bars = axes.bar(positions + index * width, counts[part], width, label=str(part))
        axes.bar_label(bars, fontsize=7)
    axes.set_xticks(positions + width * (len(counts.columns) - 1) / 2, [str(label) for label in counts.index])
    axes.set_ylabel("images")
    axes.legend()
    return _png(figure)


def histograms_by_class(histograms: pd.DataFrame) -> bytes:
    """Mean grey histogram of each class, as `statistics.class_histograms` gives them."""
    figure, axes = _figure("Mean grey histogram by class")
    for label, shares in zip(histograms["label"], stacked_histograms(histograms), strict=True):
        axes.plot(shares, label=str(label), linewidth=1)
    # Black background is most of an image and would flatten everything else.
    axes.set_yscale("log")
    axes.set_xlabel("grey value")
    axes.set_ylabel("share of the pixels")
    axes.legend()
    return _png(figure)


def contact_sheet(images: NDArray[np.uint8], columns: int = 8, boxes: NDArray[np.float32] | None = None) -> bytes:
    """The images as a grid, row by row; scaled down until the PNG is small.

    Args:
        images: uint8 (N, H, W) or (N, H, W, 1), N at least 1; give at most some dozens.
        columns: images in a row.
        boxes: float32 (N, 4), x0, y0, x1, y1 as fractions of width and height, drawn in; NaN where there is none.
    """
    grey = images[..., 0] if images.ndim == 4 else images
    known = np.full((len(grey), 4), np.nan, np.float32) if boxes is None else boxes
    for cell in _CELL_SIZES:
        data = encoded(_grid(grey, known, columns, cell), _GREY_LEVELS)
        if len(data) <= MAX_PNG_BYTES:
            break
    return data


def augmentation_sheet(
    originals: NDArray[np.uint8], copies: NDArray[np.uint8], boxes: NDArray[np.float32] | None = None
) -> bytes:
    """Originals in the upper row, a copy of each below it.

    Args:
        originals: uint8 (N, H, W[, 1]), N up to about 8.
        copies: the same shape.
        boxes: float32 (2 N, 4), of the originals and then of the copies, see `contact_sheet`.
    """
    return contact_sheet(np.concatenate([originals, copies]), len(originals), boxes)


def before_and_after(augmented: ImageSet, originals: int, shown: int = 8) -> bytes:
    """Some originals and the first copy of each with their tumour boxes, those with a box first.

    Args:
        augmented: as `datasets.augmented_image_set` makes it.
        originals: how many originals it has; at least 1.
        shown: how many of them to show at most.
    """
    has_box = ~np.isnan(augmented.boxes[:originals, 0])
    candidates = np.flatnonzero(has_box) if has_box.any() else np.arange(originals)
    rows = candidates[np.linspace(0, len(candidates) - 1, min(shown, len(candidates))).astype(int)]
    copies = rows + originals if len(augmented) > originals else rows
    boxes = augmented.boxes[np.concatenate([rows, copies])]
    return augmentation_sheet(augmented.images[rows], augmented.images[copies], boxes)


def reliability_diagram(probabilities: Probabilities, before: Probabilities, labels: Labels) -> bytes:
    """Share of right answers against mean confidence, in bins of equal mass, before and after temperature scaling.

    Args:
        probabilities: (N, 4), calibrated.
        before: (N, 4), the same before temperature scaling.
        labels: int64 (N,).
    """
    figure, axes = _figure("Confidence and share of right answers")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--")
    for name, values in (("before scaling", before), ("after scaling", probabilities)):
        confidence, right, _ = reliability(values, labels).T
        error = expected_calibration_error(values, labels)
        axes.plot(confidence, right, marker="o", markersize=4, linewidth=1, label=f"{name}: error {error:.3f}")
    axes.set(xlabel="mean confidence of the bin", ylabel="share of right answers", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend(loc="upper left")
    return _png(figure)


def roc_curves(probabilities: Probabilities, labels: Labels) -> bytes:
    """The ROC curve of each class against the others; a class of which there is nothing, or only it, has none."""
    from sklearn.metrics import auc, roc_curve

    figure, axes = _figure("ROC curve of each class against the others")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--")
    for index, name in enumerate(CLASSES):
        is_class = labels == index
        if is_class.any() and not is_class.all():
            false, true, _ = roc_curve(is_class, probabilities[:, index])
            axes.plot(false, true, linewidth=1, label=f"{name}: area {auc(false, true):.3f}")
    axes.set(xlabel="false alarms (1 - specificity)", ylabel="found (sensitivity)")
    if len(axes.lines) > 1:
        axes.legend(loc="lower right")
    return _png(figure)


def _figure(title: str) -> "tuple[Figure, Axes]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title)
    return figure, axes


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return encoded(Image.open(buffer).convert("RGB"), _CHART_COLOURS)


def _grid(images: NDArray[np.uint8], boxes: NDArray[np.float32], columns: int, cell: int) -> Image.Image:
    rows = -(-len(images) // columns)
    step = cell + _GAP_PIXELS
    sheet = Image.new("L" if np.isnan(boxes).all() else "RGB", (columns * step, rows * step))
    for index, (pixels, box) in enumerate(zip(images, boxes, strict=True)):
        row, column = divmod(index, columns)
        picture = Image.fromarray(pixels).resize((cell, cell), Image.Resampling.BILINEAR).convert(sheet.mode)
        if not np.isnan(box).any():
            ImageDraw.Draw(picture).rectangle([round(float(side)) for side in box * (cell - 1)], outline=_BOX_COLOUR)
        sheet.paste(picture, (column * step, row * step))
    return sheet


def encoded(picture: Image.Image, levels: int) -> bytes:
    """The picture as a PNG of at most so many colours."""
    buffer = io.BytesIO()
    # Noise in the lowest bits cannot be seen and cannot be compressed.
    picture.quantize(levels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
