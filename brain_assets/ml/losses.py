"""What the cells of a class map are taught: which class each shows, and where the evidence lies."""

from typing import Any

from brain_core.labels import CLASSES

PLACE_WEIGHT = 1.0
"""Of the place of the evidence against the class of the cells."""

LEAST_SHARE = 1e-4
"""Bounds the loss of an image whose evidence lies wholly outside the box."""


def cell_loss(targets: Any, cells: Any) -> Any:
    """Cross-entropy of the cells' classes, and of the place of the evidence: one value an image.

    Args:
        targets: float32 (N, h, w, 4), see `localisation.cell_targets`.
        cells: float32 (N, h, w, 4), the class scores of each cell.
    """
    import keras

    classes = -keras.ops.sum(targets * keras.ops.log_softmax(cells), axis=(1, 2, 3))
    return classes + PLACE_WEIGHT * place_loss(targets, cells)


def place_loss(targets: Any, cells: Any) -> Any:
    """Minus the logarithm of the share of the tumour's evidence that lies in its box; 0 where no box is known.

    The share is what `localisation.energy_in_box` measures on the map that is shown. The loss of the cells alone asks
    each of them by itself, and lets a single cell far away have more evidence than all those in the box.
    """
    from keras import ops

    inside, evidence = (_cells_of_tumours(values) for values in (targets, cells))
    inside = ops.cast(inside > 0, evidence.dtype)
    shares = ops.softmax(evidence, axis=1)
    is_known = ops.cast(ops.sum(inside, axis=(1, 2)) > 0, evidence.dtype)
    return -is_known * ops.log(ops.sum(inside * shares, axis=(1, 2)) + LEAST_SHARE)


def _cells_of_tumours(values: Any) -> Any:
    """The tumours' values (N, h w, 3) of (N, h, w, 4)."""
    from keras import ops

    place = CLASSES.index("notumor")
    tumours = ops.concatenate([values[..., :place], values[..., place + 1 :]], axis=-1)
    return ops.reshape(tumours, (-1, values.shape[1] * values.shape[2], len(CLASSES) - 1))
