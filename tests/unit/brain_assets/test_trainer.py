from dataclasses import replace
from typing import Any

import pytest

from brain_assets.ml import trainer
from brain_assets.ml.checkpoints import Checkpoint
from brain_assets.ml.losses import cell_loss
from brain_assets.ml.trainer import Attempt, EpochCallback
from brain_assets.ml.training import train
from brain_core.errors import RegistryError
from tests.fixtures_model import QUICK, texture_data


class KeptCheckpoints:
    """Checkpoints in memory."""

    def __init__(self) -> None:
        self.data: bytes | None = None

    def load(self, mark: str) -> Checkpoint | None:
        found = Checkpoint.from_bytes(self.data) if self.data else None
        return found if found is not None and found.mark == mark else None

    def save(self, checkpoint: Checkpoint) -> None:
        self.data = checkpoint.to_bytes()

    def clear(self) -> None:
        self.data = None


def cut_off_after(epochs: int) -> EpochCallback:
    def told(epoch: int, *_: object) -> None:
        if epoch == epochs:
            raise RegistryError("MLflow went away.")

    return told


def test_a_step_is_traced_once_and_the_learning_rate_still_rises_and_falls(monkeypatch):
    asked: list[tuple[int, ...]] = []

    def counted(wanted: Any, predicted: Any) -> Any:
        asked.append(tuple(predicted.shape))
        return cell_loss(wanted, predicted)

    monkeypatch.setattr(trainer, "cell_loss", counted)
    history = train(texture_data(48), QUICK).history
    assert asked == [(16, 4, 4, 4), (None, 4, 4, 4)]
    rates = [row["learning_rate"] for row in history]
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 0.1 * QUICK.learning_rate < 0.8 * QUICK.learning_rate < rates[0]


@pytest.mark.parametrize("epochs", [2, 4])
def test_a_training_that_was_cut_off_goes_on_and_ends_as_if_it_had_not_been(quick_training, epochs):
    kept = KeptCheckpoints()
    with pytest.raises(RegistryError):
        train(quick_training.data, QUICK, Attempt(cut_off_after(epochs), kept, "same"))
    told: list[int] = []
    resumed = train(quick_training.data, QUICK, Attempt(lambda epoch, *_: told.append(epoch), kept, "same"))
    assert told == list(range(epochs + 1, 5))
    assert kept.data is not None
    assert [row["epoch"] for row in resumed.history] == [1, 2, 3, 4]
    for mine, theirs in zip(resumed.history, quick_training.trained.history, strict=True):
        # Sums in threads differ in their last bits, and every step enlarges that.
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=0.2)
        assert mine["learning_rate"] == theirs["learning_rate"]


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_left_alone(quick_training):
    kept = KeptCheckpoints()
    with pytest.raises(RegistryError):
        train(quick_training.data, QUICK, Attempt(cut_off_after(1), kept, "one"))
    damaged = KeptCheckpoints()
    damaged.data = (kept.data or b"")[:5000]
    for store, mark in ((kept, "another"), (damaged, "one")):
        told: list[int] = []
        train(quick_training.data, replace(QUICK, epochs=1), Attempt(lambda epoch, *_: told.append(epoch), store, mark))  # noqa: B023
        assert told == [1]
