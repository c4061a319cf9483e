"""The state of a training that was cut off, so that the next attempt goes on where it stopped."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

STATE = "state"


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a training needs to go on after an epoch.

    Attributes:
        mark: what was trained on and how; another mark is another training.
        history: metrics of the epochs that are done.
        variables: values of the model's and the optimiser's variables, in their order.
        best_weights: HDF5 bytes of the best epoch so far; empty when none counted yet.
        best_loss: its validation loss.
    """

    mark: str
    history: list[dict[str, float]]
    variables: list[NDArray[Any]]
    best_weights: bytes
    best_loss: float

    def to_bytes(self) -> bytes:
        """As an `.npz` archive."""
        state = json.dumps({"mark": self.mark, "history": self.history, "best_loss": self.best_loss})
        arrays: dict[str, Any] = {f"v{index}": value for index, value in enumerate(self.variables)}
        arrays |= {"best": np.frombuffer(self.best_weights, np.uint8), STATE: np.frombuffer(state.encode(), np.uint8)}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Checkpoint | None":
        """Read what `to_bytes` wrote; None when it is damaged: the training then starts again."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                state = json.loads(arrays[STATE].tobytes())
                count = sum(name.startswith("v") for name in arrays.files)
                variables = [arrays[f"v{index}"] for index in range(count)]
                best = arrays["best"].tobytes()
            return cls(state["mark"], state["history"], variables, best, state["best_loss"])
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None


class CheckpointStore(Protocol):
    """Where the checkpoint of the one training lies."""

    def load(self, mark: str) -> Checkpoint | None:
        """The checkpoint of this training; None when there is none."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep it instead of the last one."""

    def clear(self) -> None:
        """The training is done."""


class NoCheckpoints:
    """Keeps nothing: for trainings of seconds."""

    def load(self, mark: str) -> Checkpoint | None:
        """Nothing was kept."""
        del mark
        return None

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep nothing."""

    def clear(self) -> None:
        """There is nothing."""


def values_of(variables: Sequence[Any]) -> list[NDArray[Any]]:
    """Copies of the variables' values."""
    return [np.array(variable) for variable in variables]


def fits(variables: Sequence[Any], values: Sequence[NDArray[Any]]) -> bool:
    """Have the values the variables' shapes?"""
    shapes = [tuple(variable.shape) for variable in variables]
    return shapes == [tuple(value.shape) for value in values]


def assign(variables: Sequence[Any], values: Sequence[NDArray[Any]]) -> None:
    """Set the variables to the values."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
