"""Shortcuts: how well the class can be told from what no doctor would use.

Collections of images are gathered class by class, from other scanners, archives and programs; what those leave behind
can tell the class as well as the tumour does, and a network that learns it fails elsewhere. For each such trait a small
decision tree learns the class from the trait alone, cross-validated so that no copy of an image is on both sides. The
same on labels that are shuffled between the groups shows what chance looks like. Balanced accuracy 0.25 is guessing.

The network sees neither names nor copies: those two tell that the classes were gathered differently, the traits of
`IN_PICTURE` can be learnt from the pixels.
"""

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_assets.ml.ingestion import in_threads
from brain_assets.ml.metrics import RESAMPLES, Interval, balanced_accuracy, group_confusions
from brain_core.descriptors import MARGIN_NAMES
from brain_core.labels import CLASSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IN_PICTURE: dict[str, tuple[str, ...]] = {
    "image_size": ("width", "height", "aspect"),
    "jpeg_quantisation": ("quantisation",),
    "jpeg_encoding": ("subsampling", "is_progressive", "has_exif"),
    "bytes_per_pixel": ("bytes_per_pixel",),
    "dark_border": MARGIN_NAMES,
}
AROUND_PICTURE: dict[str, tuple[str, ...]] = {
    "turned_copies": ("turned_copies",),
    "upright_copies": ("upright_copies",),
    "file_name": ("name_pattern",),
}
SHORTCUTS: dict[str, tuple[str, ...]] = {
    **IN_PICTURE,
    "all_in_picture": tuple(name for names in IN_PICTURE.values() for name in names),
    **AROUND_PICTURE,
    "all": tuple(name for names in (IN_PICTURE | AROUND_PICTURE).values() for name in names),
}
"""What is assessed, and the columns of `image_traits` that it is assessed by."""

AUDIT_COLUMNS = (
    "shortcut",
    "balanced_accuracy",
    "low",
    "high",
    "chance",
    "chance_high",
    "is_shortcut",
    "note",
)
MIN_GROUPS = 10
"""Least number of duplicate groups of each class for an assessment."""
MIN_GAIN = 0.05
"""Balanced accuracy above chance below which a trait is not worth a warning, however many images prove it."""
PERMUTATIONS = 20

_FOLDS = 5
_COMMON_VALUES = 32
_IMAGE_COLUMNS = ["key", "label", "width", "height", "size_bytes"]
_FILE_COLUMNS = ["quantisation", "subsampling", "is_progressive", "has_exif", *MARGIN_NAMES]

Features = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class _Sample:
    labels: Labels
    groups: Labels
    folds: Labels
    resamples: NDArray[np.float64]
    seed: int


def shortcut_audit(
    manifest: pd.DataFrame, statistics: pd.DataFrame, groups: pd.DataFrame, seed: int = 0
) -> pd.DataFrame:
    """Assess every shortcut; the same for the same tables and seed, whatever the order of the rows.

    Args:
        manifest: as `ingestion.ingest` makes it.
        statistics: as `statistics.image_statistics` makes it.
        groups: as `duplicates.duplicate_groups` makes it.
        seed: of the folds, the permutations and the resampling.

    Returns:
        `AUDIT_COLUMNS`, one row for each of `SHORTCUTS`: `balanced_accuracy`, [0, 1], with the bounds `low` and `high`
        of its 95 % interval (bootstrap of whole groups); `chance` and `chance_high`, mean and maximum over
        `PERMUTATIONS` shuffled labellings; `is_shortcut`, true where `low` is above `chance_high` and at least
        `MIN_GAIN` above `chance`; `note`. A set in which a class has fewer than `MIN_GROUPS` groups is not assessed:
        its figures are nan and the note says why.
    """
    traits = image_traits(manifest, statistics, groups)
    reason = _why_not(traits)
    if reason is not None:
        rows = [
            _row(name, Interval(value=np.nan, low=np.nan, high=np.nan), np.array([np.nan]), reason)
            for name in SHORTCUTS
        ]
    else:
        sample = _sample(traits, seed)
        rows = list(in_threads(lambda name: _assessed(name, traits, sample), SHORTCUTS))
    return pd.DataFrame(rows, columns=list(AUDIT_COLUMNS))


def image_traits(manifest: pd.DataFrame, statistics: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """What is known of each image beside its content: `key`, `label`, `group`, the columns of `SHORTCUTS`.

    `turned_copies` counts the copies that are mirrored or rotated, `upright_copies` the others. `name_pattern` is the
    file name with `#` for each number. Sorted by key; images that are not in all three tables are left out.
    """
    table = manifest[_IMAGE_COLUMNS].merge(statistics[["key", *_FILE_COLUMNS]], on="key", validate="one_to_one")
    table = table.merge(groups[["key", "group", "upright_group"]], on="key", validate="one_to_one")
    table = table.sort_values("key", ignore_index=True)
    upright = table.groupby("upright_group")["key"].transform("size")
    return table.assign(
        aspect=table["width"] / table["height"],
        bytes_per_pixel=table["size_bytes"] / (table["width"] * table["height"]),
        turned_copies=table.groupby("group")["key"].transform("size") - upright,
        upright_copies=upright - 1,
        name_pattern=[re.sub(r"\d+", "#", key.rpartition("/")[2]) for key in table["key"]],
    )


def shortcut_plot(audit: pd.DataFrame, note: str = "") -> bytes:
    """PNG of an audit: a point with its interval for each shortcut, red where it is one, on the range of chance.

    Args:
        audit: see `shortcut_audit`.
        note: a line below the title, such as that the images are synthetic.
    """
    figure, axes = _figure()
    for position, (_, row) in enumerate(audit[::-1].iterrows()):
        _draw(axes, position, row)
    axes.set_yticks(range(len(audit)), [name.replace("_", " ") for name in reversed(audit["shortcut"].tolist())])
    axes.set(xlim=(0, 1.12), xticks=np.linspace(0, 1, 6), xlabel="balanced accuracy, cross-validated (grey: chance)")
    axes.set_title("\n".join(["How well the class is told without looking at the brain", note]).strip(), fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _why_not(traits: pd.DataFrame) -> str | None:
    counts = traits.groupby("label")["group"].nunique()
    for label in CLASSES:
        if counts.get(label, 0) < MIN_GROUPS:
            return f"Not assessed: {label} has {counts.get(label, 0)} groups of copies, {MIN_GROUPS} are needed."
    return None


def _sample(traits: pd.DataFrame, seed: int) -> _Sample:
    from sklearn.model_selection import StratifiedGroupKFold

    labels = traits["label"].map(CLASSES.index).to_numpy(dtype=np.int64)
    # Numbered by first key, so that the folds do not depend on how the groups were numbered.
    groups = pd.factorize(traits["group"])[0].astype(np.int64)
    folds = np.empty(len(labels), dtype=np.int64)
    splitter = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(labels, labels, groups)):
        folds[held_out] = fold
    count = int(groups.max()) + 1
    resamples = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    return _Sample(labels, groups, folds, resamples.astype(np.float64), seed)


def _assessed(name: str, traits: pd.DataFrame, sample: _Sample) -> dict[str, object]:
    features = _features(traits[list(SHORTCUTS[name])])
    if (features == features[0]).all():
        guess = 1 / len(CLASSES)
        return _row(name, Interval(value=guess, low=guess, high=guess), np.array([guess]), "The same in every image.")
    predictions = _predicted(features, sample.labels, sample)
    return _row(name, _figure_of(predictions, sample), _chance(features, sample), "")


def _figure_of(predictions: Labels, sample: _Sample) -> Interval:
    """Balanced accuracy with its percentile interval over resamples of whole groups."""
    confusions, _ = group_confusions(predictions, sample.labels, sample.groups)
    low, high = np.percentile(balanced_accuracy(np.tensordot(sample.resamples, confusions, axes=1)), (2.5, 97.5))
    return Interval(value=float(balanced_accuracy(confusions.sum(axis=0))), low=float(low), high=float(high))


def _row(name: str, figure: Interval, chance: NDArray[np.float64], note: str) -> dict[str, object]:
    mean, highest = float(chance.mean()), float(chance.max())
    return {
        "shortcut": name,
        "balanced_accuracy": figure.value,
        "low": figure.low,
        "high": figure.high,
        "chance": mean,
        "chance_high": highest,
        "is_shortcut": figure.low > max(highest, mean + MIN_GAIN),
        "note": note,
    }


def _features(columns: pd.DataFrame) -> Features:
    """Numbers as they are; each of the most common values of a text as a column of zeros and ones."""
    parts = [column if pd.api.types.is_numeric_dtype(column) else _indicators(column) for _, column in columns.items()]
    return pd.concat(parts, axis=1).to_numpy(dtype=np.float32)


def _indicators(column: "pd.Series[str]") -> pd.DataFrame:
    common = column.value_counts().sort_index().nlargest(_COMMON_VALUES).index
    return pd.DataFrame({value: column == value for value in common})


def _chance(features: Features, sample: _Sample) -> NDArray[np.float64]:
    """Balanced accuracy for labels that are shuffled between whole groups: copies keep a label in common."""
    rng = np.random.default_rng(sample.seed)
    firsts = np.unique(sample.groups, return_index=True)[1]
    figures = []
    for _ in range(PERMUTATIONS):
        labels = rng.permutation(sample.labels[firsts])[sample.groups]
        confusions, _ = group_confusions(_predicted(features, labels, sample), labels, np.zeros_like(labels))
        figures.append(float(balanced_accuracy(confusions[0])))
    return np.array(figures)


def _predicted(features: Features, labels: Labels, sample: _Sample) -> Labels:
    """Class of each image, int64 (N,), from a tree that did not learn on its fold."""
    from sklearn.tree import DecisionTreeClassifier

    predictions = np.empty_like(labels)
    for fold in range(_FOLDS):
        held_out = sample.folds == fold
        known = labels[~held_out]
        tree = DecisionTreeClassifier(max_leaf_nodes=64, min_samples_leaf=5, random_state=sample.seed)
        # Classes weigh the same. scikit-learn's own "balanced" does that too, but takes a third of the time.
        weights = 1 / np.bincount(known, minlength=len(CLASSES))[known]
        tree.fit(features[~held_out], known, sample_weight=weights)
        predictions[held_out] = tree.predict(features[held_out])
    return predictions


def _draw(axes: "Axes", position: int, row: "pd.Series[Any]") -> None:
    value, low, high, chance = (float(row[name]) for name in ("balanced_accuracy", "low", "high", "chance_high"))
    if np.isnan(value):
        axes.text(0.02, position, "not assessed", va="center", fontsize=8)
        return
    colour = "tab:red" if row["is_shortcut"] else "tab:blue"
    axes.barh(position, chance, color="0.88", height=0.7)
    axes.errorbar(value, position, xerr=[[value - low], [high - value]], fmt="o", color=colour, capsize=3)
    axes.text(max(high, chance) + 0.02, position, f"{value:.2f}", va="center", fontsize=8, color=colour)


def _figure() -> "tuple[Figure, Axes]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()
