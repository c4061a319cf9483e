"""What of an evaluation goes into MLflow: figures, pictures, model card."""

import json
from collections.abc import Mapping

import pandas as pd

from brain_assets.ml.calibration import unscaled
from brain_assets.ml.evaluation import JudgedModel
from brain_assets.ml.galleries import gallery, shown_maps, worst_mistakes
from brain_assets.ml.metrics import confusion_png
from brain_assets.ml.model_card import model_card
from brain_assets.ml.plots import MAX_PNG_BYTES, reliability_diagram, roc_curves
from brain_assets.ml.records import TrainedModel
from brain_assets.ml.registry import TrackedRun
from brain_core.labels import CLASSES

FOLDER = "evaluation"
CARD_FILE = "model-card.md"
FIGURES_FILE = "metrics.json"
MISTAKES_FILE = "mistakes.png"
CHARTS = CONFUSION_FILE, CALIBRATION_FILE, ROC_FILE = "confusion.png", "calibration.png", "roc.png"


def log_evaluation(run: TrackedRun, judged: JudgedModel, files: Mapping[str, bytes]) -> None:
    """Keep the figures as metrics and the files as artifacts of the run of the training.

    Raises:
        RegistryError: MLflow is away.
    """
    run.log_metrics(judged.evaluation.as_metrics())
    run.log_files(files, FOLDER)


def evaluation_files(judged: JudgedModel, model: TrainedModel, sizes: pd.DataFrame) -> dict[str, bytes]:
    """The files by name; what there is nothing to show of is left out.

    Args:
        judged: the answers and figures.
        model: the record of the training.
        sizes: see `model_card.split_sizes`.
    """
    maps = {f"maps-{name}.png": gallery(judged, shown_maps(judged, (index,))) for index, name in enumerate(CLASSES)}
    mistakes = {MISTAKES_FILE: gallery(judged, worst_mistakes(judged))}
    pictures = {**judged_charts(judged, model.temperature), **maps, **mistakes}
    texts = {
        FIGURES_FILE: json.dumps(judged.evaluation.as_dict(), indent=2),
        CARD_FILE: model_card(model, judged.evaluation, sizes),
    }
    return {name: text.encode() for name, text in texts.items()} | {
        name: png for name, png in pictures.items() if png is not None
    }


def page_pictures(judged: JudgedModel, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Charts and galleries by name, each small enough to be part of a page.

    Args:
        judged: the answers.
        files: what goes into MLflow, with the charts of `judged_charts`.
    """
    every_class = tuple(range(len(CLASSES)))
    galleries = {
        "maps": gallery(judged, shown_maps(judged, every_class), MAX_PNG_BYTES),
        "mistakes": gallery(judged, worst_mistakes(judged), MAX_PNG_BYTES),
    }
    charts = {name.removesuffix(".png"): files[name] for name in CHARTS}
    return charts | {name: png for name, png in galleries.items() if png is not None}


def judged_charts(judged: JudgedModel, temperature: float) -> dict[str, bytes]:
    """Confusion matrix, reliability diagram and ROC curves, of one image of each group."""
    rows = judged.representatives
    probabilities, labels = judged.answers.probabilities[rows], judged.test.labels[rows]
    return {
        CONFUSION_FILE: confusion_png(judged.evaluation),
        CALIBRATION_FILE: reliability_diagram(probabilities, unscaled(probabilities, temperature), labels),
        ROC_FILE: roc_curves(probabilities, labels),
    }
