"""Only one run makes a model at a time."""

import dagster as dg
import pytest

from brain_assets.defs.training_runs import refuse_second_training, unfinished_training
from brain_core.errors import TrainingError


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def started(instance: dg.DagsterInstance, job: str) -> str:
    return instance.add_run(dg.DagsterRun(job_name=job, status=dg.DagsterRunStatus.STARTED)).run_id


def test_of_two_retrainings_at_once_the_second_is_refused_and_the_first_goes_on(instance):
    first, second = started(instance, "model_retraining"), started(instance, "model_retraining")
    refuse_second_training(instance, first)
    with pytest.raises(TrainingError, match=f"Run {first} makes a model already"):
        refuse_second_training(instance, second)


def test_after_the_first_ended_the_second_may_go_on(instance):
    first, second = started(instance, "data_and_model_build"), started(instance, "model_retraining")
    instance.report_run_failed(instance.get_run_by_id(first))
    refuse_second_training(instance, second)
    assert unfinished_training(instance) == second


def test_a_run_that_makes_no_model_is_in_nobodys_way(instance):
    started(instance, "monitoring")
    refuse_second_training(instance, started(instance, "model_retraining"))
