"""The model card: what a model is, what it was made from, how good it is, and what it must not be used for.

After Mitchell et al. 2019, Model Cards for Model Reporting (doi 10.1145/3287560.3287596). Every figure in it is one of
the evaluation; nothing is written by hand.
"""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from brain_assets.ml.figures import Evaluation, Interval, SubsetFigures
from brain_assets.ml.localisation import PEAK_MARGIN
from brain_assets.ml.records import TrainedModel
from brain_core.bundle import Provenance
from brain_core.labels import CLASSES, NOTICE

FEW_COMPONENTS = 30
"""With fewer independent cases than this an interval says little, and the card warns."""

MADE_BY = "brain up --once"
_STARTS = {"imagenet": "weights trained on ImageNet", "scratch": "random weights"}
_MISSING = "not assessed"
_SOURCES = {
    "sample": "synthetic slices, drawn on the MNI152 template: they are not patients",
    "public": "the public data set of figshare, SARTAJ and Br35H",
    "own": "the images of this installation",
}


def split_sizes(splits: pd.DataFrame) -> pd.DataFrame:
    """Images, groups of copies and components by `part` and `label` of a table of splits."""
    rows = splits.assign(component=splits.get("component", splits["group"]))
    counts = {"images": ("key", "size"), "groups": ("group", "nunique"), "components": ("component", "nunique")}
    return rows.groupby(["part", "label"]).agg(**counts).reset_index()


def model_card(model: TrainedModel, evaluation: Evaluation, sizes: pd.DataFrame, command: str = MADE_BY) -> str:
    """The card in Markdown.

    Args:
        model: the record of the training.
        evaluation: its figures.
        sizes: see `split_sizes`.
        command: what makes model and figures again.
    """
    sections = (
        ("Brain slice classifier", _introduction(model)),
        ("Data and split", _data(model.provenance, sizes)),
        ("How good it is", _headline(evaluation)),
        ("By class", _by_class(evaluation)),
        ("By source and plane", _subsets(evaluation)),
        ("Does it look at the tumour?", _localisation(evaluation)),
        ("Mirrored images", _mirror(evaluation)),
        ("On the published split", _published(evaluation)),
        ("Limits", _limits(model, evaluation)),
        ("Made by", [f"`{command}`, data version `{model.data_version}`, MLflow run `{model.run_id}`."]),
    )
    marks = ["#", *["##"] * (len(sections) - 1)]
    parts = [f"{mark} {title}\n\n" + "\n\n".join(body) for mark, (title, body) in zip(marks, sections, strict=True)]
    return "\n\n".join(parts) + "\n"


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown; a figure that could not be measured says so."""
    lines = [columns, ["---"] * len(columns), *([_shown(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _shown(value: object) -> str:
    return _MISSING if value is None else str(value)


def _introduction(model: TrainedModel) -> list[str]:
    start = (
        f"version {model.started_from} of the model"
        if model.started_from
        else _STARTS.get(model.initial, model.initial)
    )
    return [
        f"**{NOTICE}**",
        f"A convolutional network, `{model.architecture}`, that sees one grey slice of {model.input_size} x "
        f"{model.input_size} pixels and gives a probability to each of: {', '.join(CLASSES)}. Its class map shows the "
        "evidence that the answer is made from.",
        f"It started from {start}; epochs of training: {len(model.history)}. The logits are divided by a "
        f"temperature of {model.temperature:.3f}, chosen on the validation part. An answer is called uncertain when "
        f"not exactly one class has a probability of at least {model.set_threshold:.3f}; with that, "
        f"{model.coverage:.0%} of images like the validation images have their true class among the ones that have.",
    ]


def _data(provenance: Provenance, sizes: pd.DataFrame) -> list[str]:
    feedback = " and corrections that readers gave" if provenance.feedback else ""
    return [
        f"Made from {_SOURCES[provenance.source]}{feedback}. Copies of an image (also mirrored, rotated or resized) "
        "form a group; groups of the same patient, as far as patients are known, form a component. Whole components "
        "were divided, so that the test part holds no copy and no known patient of what was trained on.",
        markdown_table(list(sizes.columns), sizes.to_numpy().tolist()),
    ]


def _headline(evaluation: Evaluation) -> list[str]:
    by_group = {
        "accuracy": evaluation.accuracy,
        "balanced accuracy": evaluation.balanced_accuracy,
        "macro-F1": evaluation.macro_f1,
        "ROC-AUC, mean of the classes": evaluation.roc_auc,
        "calibration error (ECE)": evaluation.ece,
        "calibration error before temperature scaling": evaluation.ece_before_scaling,
    }
    every = evaluation.all_images
    rows = list(by_group.items())
    rows += [(f"accuracy over all {every.images} images", every.accuracy)] if every else []
    return [
        f"On the test part: one image of each of {evaluation.groups} groups, from {evaluation.components or 'unknown'} "
        "components. The intervals are 95 % bootstrap intervals that resample components.",
        markdown_table(("figure", "value (interval)"), rows),
    ]


def _by_class(evaluation: Evaluation) -> list[str]:
    figures = [
        (name, found.images, found.recall, found.precision, found.roc_auc)
        for name, found in evaluation.by_class.items()
    ]
    confusion = [(name, *counts) for name, counts in zip(CLASSES, evaluation.confusion, strict=True)]
    return [
        markdown_table(("class", "images", "recall", "precision", "ROC-AUC"), figures),
        "True classes in the rows, predicted ones in the columns:",
        markdown_table(("true", *CLASSES), confusion),
    ]


def _subsets(evaluation: Evaluation) -> list[str]:
    return [
        _subset_table("source", evaluation.by_source) or "The sources of the images are not known.",
        _subset_table("plane", evaluation.by_plane) or "The planes of the images are not known.",
    ]


def _subset_table(title: str, subsets: Mapping[str, SubsetFigures]) -> str:
    rows = [(name, found.images, found.components, found.accuracy, _recalls(found)) for name, found in subsets.items()]
    return markdown_table((title, "images", "components", "accuracy", "recall"), rows) if rows else ""


def _recalls(figures: SubsetFigures) -> str:
    return ", ".join(f"{name} {recall.value:.3f}" for name, recall in figures.recall.items())


def _localisation(evaluation: Evaluation) -> list[str]:
    if not evaluation.localisation:
        return ["Not assessed: no tumour boxes are known for test images, or the network has no class map."]
    rows = [
        (name, found.images, found.peak_in_box, found.energy_in_box) for name, found in evaluation.localisation.items()
    ]
    return [
        "Of the rightly predicted tumours whose box is known: share with the map's maximum in the box (with a margin "
        f"of {PEAK_MARGIN:.0%} of its size), and mean share of the map inside it.",
        markdown_table(("class", "images", "peak in box", "energy in box"), rows),
    ]


def _mirror(evaluation: Evaluation) -> list[str]:
    if evaluation.mirror is None:
        return ["Not assessed."]
    found = evaluation.mirror
    return [f"The class stays the same for {found.consistency} of the images; accuracy mirrored: {found.accuracy}."]


def _published(evaluation: Evaluation) -> list[str]:
    found = evaluation.published_split
    if found is None:
        return ["The data have no published split."]
    return [
        f"Accuracy on the {found.images} published Testing images: {found.accuracy} - {found.note}. It is given for "
        f"comparison with what others report, and says nothing about new patients: {found.trained_share:.1%} of these "
        "images were trained or tuned on, themselves or as a copy.",
    ]


def _limits(model: TrainedModel, evaluation: Evaluation) -> list[str]:
    return ["\n".join(f"- {line}" for line in _limit_lines(model, evaluation))]


def _limit_lines(model: TrainedModel, evaluation: Evaluation) -> Iterator[str]:
    yield "It knows four answers only, sees one slice and no patient, and was compared with no radiologist."
    yield "Scanners, sequences, ages and diseases that are not in the data were not tested; figures there may be worse."
    if model.provenance.source == "sample":
        yield "It was trained and judged on drawn slices: its figures say nothing about real MRI."
    missing = [name for name, found in evaluation.by_class.items() if found.images == 0]
    if missing:
        yield f"The test part has no image of {', '.join(missing)}: nothing is known about it."
    if (evaluation.components or 0) < FEW_COMPONENTS:
        yield f"The test part has fewer than {FEW_COMPONENTS} independent cases: the intervals are too narrow to trust."
    weakest = _weakest(evaluation)
    if weakest is not None:
        yield f"The class that it misses most often is {weakest[0]}: recall {weakest[1]}."
    if not evaluation.localisation:
        yield "Whether its maps point at the tumour was not measured."


def _weakest(evaluation: Evaluation) -> tuple[str, Interval] | None:
    known = {name: found.recall for name, found in evaluation.by_class.items() if found.recall is not None}
    return min(known.items(), key=lambda item: item[1].value) if len(known) > 1 else None
