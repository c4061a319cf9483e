"""A training as MLflow sees it, and what is kept of it."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from brain_assets.asset_store import version_of
from brain_assets.ml.checkpoints import Checkpoint
from brain_assets.ml.datasets import FEEDBACK, source_of
from brain_assets.ml.export import WEIGHTS_FILE, WeightsRecipe
from brain_assets.ml.model import architecture_of
from brain_assets.ml.records import TrainedModel
from brain_assets.ml.registry import TrackedRun
from brain_assets.ml.trainer import Attempt
from brain_assets.ml.training import TrainedWeights, train
from brain_assets.ml.training_data import TrainingConfig, TrainingData
from brain_core.bundle import Manifest, Provenance, load_manifest, read_champion
from brain_core.errors import ModelUnavailable, ObjectNotFound
from brain_core.storage import Bucket, asset_key, model_key

CHECKPOINT_KEY = asset_key("trained_model", "checkpoint.npz")
"""Where the state of a training lies that is under way or was cut off."""


@dataclass(frozen=True)
class StartingPoint:
    """The champion's weights, when a retraining may start from them.

    Attributes:
        version: of the champion.
        weights: HDF5 bytes.
        has_feedback: whether it learned from corrections itself.
    """

    version: str
    weights: bytes
    has_feedback: bool = False


def starting_point(
    bucket: Bucket, table: pd.DataFrame, architecture: str, is_retraining: bool = False
) -> StartingPoint | None:
    """The champion, when corrections are to be learned and it has the same architecture and kind of images.

    Args:
        bucket: of the models.
        table: as `datasets.training_table` makes it.
        architecture: of the network that is to be trained.
        is_retraining: start from it even if none of the corrections may be used.
    """
    is_wanted = is_retraining or bool((table["origin"] == FEEDBACK).any())
    champion = champion_manifest(bucket) if is_wanted else None
    if champion is None or champion.architecture != architecture or champion.provenance.source != source_of(table):
        return None
    weights = bucket.read(model_key(champion.version, WEIGHTS_FILE))
    return StartingPoint(champion.version, weights, champion.provenance.feedback)


def champion_manifest(bucket: Bucket) -> Manifest | None:
    """The manifest of the published champion; None when there is none yet."""
    try:
        return load_manifest(bucket, read_champion(bucket).version)
    except ModelUnavailable:
        return None


class BucketCheckpoints:
    """Keeps the checkpoint of the newest training in the bucket, so that a retry on another machine finds it."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def load(self, mark: str) -> Checkpoint | None:
        """The checkpoint of the training with this mark; None when there is none, or only a damaged one."""
        try:
            found = Checkpoint.from_bytes(self._bucket.read(CHECKPOINT_KEY))
        except ObjectNotFound:
            return None
        return found if found is not None and found.mark == mark else None

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep it instead of the last one."""
        self._bucket.write(CHECKPOINT_KEY, checkpoint.to_bytes())

    def clear(self) -> None:
        """The training is done; nothing happens when there is no checkpoint."""
        self._bucket.delete(CHECKPOINT_KEY)


@dataclass(frozen=True)
class TrackedTraining:
    """A training as it is to be done.

    Attributes:
        data: what to train on.
        config: how.
        data_version: version of the training table; with the configuration it tells one training from another.
        start: the champion, when its weights are to start from.
        bucket: where the checkpoints are kept.
    """

    data: TrainingData
    config: TrainingConfig
    data_version: str
    start: StartingPoint | None
    bucket: Bucket

    @property
    def started_from(self) -> str:
        """A version of the model, or `imagenet`, or `scratch`."""
        return self.start.version if self.start else self.initial

    @property
    def initial(self) -> str:
        """`imagenet` where the network has such weights and is to start from them, else `scratch`."""
        has_imagenet = architecture_of(self.config.architecture).has_imagenet
        return "imagenet" if has_imagenet and self.config.initial == "imagenet" else "scratch"

    @property
    def mark(self) -> str:
        """Tells whether a checkpoint belongs to this training."""
        return f"{sorted(vars(self.config).items())} {self.data_version} {len(self.data.labels)} {self.started_from}"


def train_tracked(run: TrackedRun, training: TrackedTraining, say: Callable[[str], None]) -> TrainedWeights:
    """Train with every epoch as a point in MLflow; goes on where the same training was cut off.

    Raises:
        TrainingError: see `training.train`.
        RegistryError: MLflow is away; the checkpoint stays, so that a retry goes on from it.
        StorageError: the bucket is away.
    """
    about = {"images": len(training.data.labels), "data_version": training.data_version}
    run.log_params({**vars(training.config), **about, "started_from": training.started_from})
    told: set[int] = set()

    def on_epoch(epoch: int, epochs: int, metrics: dict[str, float]) -> None:
        told.add(epoch)
        run.log_metrics(metrics, step=epoch)
        say(f"epochs: {epoch} of {epochs}, " + ", ".join(f"{name} {metrics[name]:.4f}" for name in sorted(metrics)))

    checkpoints = BucketCheckpoints(training.bucket)
    attempt = Attempt(on_epoch, checkpoints, training.mark)
    trained = train(training.data, training.config, attempt, training.start.weights if training.start else None)
    _log_earlier_epochs(run, trained.history, told)
    run.log_metrics({"temperature": trained.temperature, "set_threshold": trained.set_threshold})
    checkpoints.clear()
    return trained


def _log_earlier_epochs(run: TrackedRun, history: list[dict[str, float]], told: set[int]) -> None:
    """The epochs that an attempt made which was cut off: the curve of the run is whole."""
    for row in history:
        if row["epoch"] not in told:
            run.log_metrics({name: value for name, value in row.items() if name != "epoch"}, step=int(row["epoch"]))


def table_version(table: pd.DataFrame) -> str:
    """Version of a training table: which images, with which labels, in which part, and what they count."""
    return version_of(table[["key", "label", "part", "pixel_sha256", "weight"]])


def trained_record(
    run: TrackedRun, trained: TrainedWeights, table: pd.DataFrame, training: TrackedTraining
) -> TrainedModel:
    """What is kept of a training beside its weights."""
    start = training.start
    has_feedback = bool((table["origin"] == FEEDBACK).any()) or (start is not None and start.has_feedback)
    return TrainedModel(
        run_id=run.run_id,
        architecture=trained.architecture,
        input_size=trained.input_size,
        temperature=trained.temperature,
        set_threshold=trained.set_threshold,
        coverage=trained.coverage,
        started_from=start.version if start else None,
        initial=training.initial,
        data_version=training.data_version,
        provenance=Provenance.model_validate({"source": source_of(table), "feedback": has_feedback}),
        history=trained.history,
    )


def recipe_of(model: TrainedModel) -> WeightsRecipe:
    """What makes the network of a record again."""
    return WeightsRecipe(model.architecture, model.input_size, model.temperature)
