"""A training as MLflow sees it, and what is kept of it."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from brain_assets.asset_store import version_of
from brain_assets.ml.datasets import FEEDBACK, source_of
from brain_assets.ml.export import WEIGHTS_FILE, WeightsRecipe
from brain_assets.ml.records import TrainedModel
from brain_assets.ml.registry import TrackedRun
from brain_assets.ml.training import TrainedWeights, TrainingConfig, TrainingData, train
from brain_core.bundle import Manifest, Provenance, load_manifest, read_champion
from brain_core.errors import ModelUnavailable
from brain_core.storage import Bucket, model_key


@dataclass(frozen=True)
class StartingPoint:
    """The champion's weights, when a retraining may start from them."""

    version: str
    weights: bytes


def starting_point(bucket: Bucket, table: pd.DataFrame, architecture: str) -> StartingPoint | None:
    """The champion, when corrections are to be learned and it has the same architecture and kind of images."""
    if not (table["origin"] == FEEDBACK).any() or (champion := champion_manifest(bucket)) is None:
        return None
    if champion.architecture != architecture or champion.provenance.source != source_of(table):
        return None
    return StartingPoint(champion.version, bucket.read(model_key(champion.version, WEIGHTS_FILE)))


def champion_manifest(bucket: Bucket) -> Manifest | None:
    """The manifest of the published champion; None when there is none yet."""
    try:
        return load_manifest(bucket, read_champion(bucket).version)
    except ModelUnavailable:
        return None


def train_tracked(
    run: TrackedRun, data: TrainingData, config: TrainingConfig, start: StartingPoint | None, say: Callable[[str], None]
) -> TrainedWeights:
    """Train with every epoch as a point in MLflow.

    Raises:
        TrainingError: see `training.train`.
        RegistryError: MLflow is away.
    """
    started_from = start.version if start else "scratch"
    run.log_params({**vars(config), "images": len(data.labels), "started_from": started_from})

    def on_epoch(epoch: int, epochs: int, metrics: dict[str, float]) -> None:
        run.log_metrics(metrics, step=epoch)
        say(
            f"epochs: {epoch} of {epochs}, "
            + ", ".join(f"{name} {value:.4f}" for name, value in sorted(metrics.items()))
        )

    trained = train(data, config, on_epoch, start.weights if start else None)
    run.log_metrics({"temperature": trained.temperature, "uncertain_below": trained.uncertain_below})
    return trained


def trained_record(
    run: TrackedRun, trained: TrainedWeights, table: pd.DataFrame, start: StartingPoint | None
) -> TrainedModel:
    """What is kept of a training beside its weights."""
    return TrainedModel(
        run_id=run.run_id,
        architecture=trained.architecture,
        input_size=trained.input_size,
        temperature=trained.temperature,
        uncertain_below=trained.uncertain_below,
        started_from=start.version if start else None,
        data_version=version_of(table[["key", "label", "part", "pixel_sha256"]]),
        provenance=Provenance.model_validate(
            {"source": source_of(table), "feedback": bool((table["origin"] == FEEDBACK).any())}
        ),
        history=trained.history,
    )


def recipe_of(model: TrainedModel) -> WeightsRecipe:
    """What makes the network of a record again."""
    return WeightsRecipe(model.architecture, model.input_size, model.temperature)
