from dataclasses import replace

import pytest

from brain_assets.ml.tracking import CHECKPOINT_KEY, BucketCheckpoints, TrackedTraining, train_tracked
from brain_core.errors import RegistryError
from tests.fixtures_model import QUICK, texture_data


class Run:
    """Remembers what was logged; MLflow goes away at a step."""

    def __init__(self, away_at: int | None = None) -> None:
        self.away_at, self.steps, self.params = away_at, [], {}

    def log_params(self, params) -> None:
        self.params |= params

    def log_metrics(self, metrics, step=0) -> None:
        if step and step == self.away_at:
            raise RegistryError("MLflow did not do it: connection refused.")
        self.steps.append(step)


@pytest.fixture
def training(bucket) -> TrackedTraining:
    return TrackedTraining(texture_data(32), replace(QUICK, epochs=3), "data-1", None, bucket)


def test_mlflow_away_in_the_middle_leaves_a_checkpoint_and_the_retry_goes_on_from_it(training, bucket):
    with pytest.raises(RegistryError):
        train_tracked(Run(away_at=2), training, lambda _: None)
    assert bucket.exists(CHECKPOINT_KEY)
    retry = Run()
    trained = train_tracked(retry, training, lambda _: None)
    assert retry.steps == [3, 1, 2, 0]
    assert [row["epoch"] for row in trained.history] == [1, 2, 3]
    assert not bucket.exists(CHECKPOINT_KEY)
    assert retry.params["data_version"] == "data-1"
    assert retry.params["started_from"] == "scratch"


@pytest.mark.parametrize("changed", ["data_version", "config"])
def test_a_training_on_other_data_or_with_another_configuration_starts_anew(training, changed):
    values = {"data_version": "data-2", "config": replace(QUICK, epochs=3, seed=9)}
    assert replace(training, **{changed: values[changed]}).mark != training.mark
    assert replace(training).mark == training.mark


def test_a_damaged_checkpoint_is_none(bucket):
    bucket.write(CHECKPOINT_KEY, b"not an archive")
    assert BucketCheckpoints(bucket).load("mark") is None
