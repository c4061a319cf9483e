import pytest
from pydantic import ValidationError

from brain_assets.config import AugmentationParameters, SplitParameters, TrainingParameters
from brain_assets.ml.augmentation import AugmentationConfig
from brain_assets.ml.training_data import TrainingConfig


def test_the_defaults_are_those_of_the_configurations_of_the_functions():
    assert AugmentationParameters().to_augmentation() == AugmentationConfig()
    assert TrainingParameters().to_training() == TrainingConfig()


def test_what_is_changed_reaches_the_functions():
    assert AugmentationParameters(copies=3).to_augmentation() == AugmentationConfig(copies=3)
    assert TrainingParameters(epochs=3).to_training() == TrainingConfig(epochs=3)


@pytest.mark.parametrize("values", [{"shear_degrees": 11}, {"copies": -1}, {"zoom_share": 2}])
def test_augmentation_outside_its_range_is_refused(values):
    with pytest.raises(ValidationError):
        AugmentationParameters(**values)


def test_a_test_share_of_more_than_half_is_refused():
    with pytest.raises(ValidationError):
        SplitParameters(test_share=0.6)
