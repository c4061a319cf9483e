import numpy as np
import pytest

from brain_assets.asset_store import ImageSet
from brain_assets.defs.baseline import BASELINE_GROUP, BaselineParameters, baseline_job, baseline_model
from brain_assets.ml.baseline import BaselineConfig, train_baseline
from brain_core.errors import TrainingError
from tests.fixtures_model import textures


def test_a_class_without_images_is_refused_before_the_training():
    pixels, _ = textures(4)
    zeros = np.zeros(4, np.int64)
    one_class = ImageSet(pixels, zeros, zeros, np.array(list("abcd")))
    with pytest.raises(TrainingError, match="no image of meningioma"):
        train_baseline(one_class, BaselineConfig(epochs=1), lambda *_: None)


def test_the_optimiser_is_the_one_of_the_replaced_system():
    config = BaselineConfig()
    assert (config.learning_rate, config.beta_1, config.beta_2) == (0.001, 0.85, 0.9925)
    assert config.epochs == BaselineParameters().epochs == 3


def test_only_its_own_job_makes_it():
    assert baseline_job.name == "baseline"
    assert baseline_model.group_names_by_key[baseline_model.key] == BASELINE_GROUP
