import pytest
from pydantic import ValidationError

from brain_assets.config import (
    AugmentationParameters,
    FeedbackParameters,
    SplitParameters,
    TrainingParameters,
    TrainingSetParameters,
)
from brain_assets.ml.augmentation import AugmentationConfig
from brain_assets.ml.feedback import FeedbackPolicy
from brain_assets.ml.training_data import RETRAINING_DEFAULTS, TrainingConfig


def test_the_defaults_are_those_of_the_configurations_of_the_functions():
    assert AugmentationParameters().to_augmentation() == AugmentationConfig()
    assert TrainingParameters().to_training("own") == TrainingConfig()
    assert FeedbackParameters().to_policy() == FeedbackPolicy()


def test_what_is_changed_reaches_the_functions():
    assert AugmentationParameters(copies=3).to_augmentation() == AugmentationConfig(copies=3)
    assert TrainingParameters(epochs=3).to_training("public") == TrainingConfig(epochs=3)


def test_a_retraining_is_shorter_and_gentler_unless_somebody_says_otherwise():
    gentle = TrainingParameters().to_training("own", is_retraining=True)
    assert gentle == TrainingConfig(**RETRAINING_DEFAULTS)
    assert gentle.epochs < TrainingConfig().epochs
    assert gentle.learning_rate < TrainingConfig().learning_rate
    assert TrainingParameters(epochs=9).to_training("sample", is_retraining=True).epochs == 9
    assert TrainingParameters().to_training("sample", is_retraining=True).architecture == "compact_cnn"


@pytest.mark.parametrize("wrong", [{"held_out_share": 1}, {"disagreement": "loudest"}])
def test_a_feedback_policy_that_there_is_not_is_refused(wrong):
    with pytest.raises(ValidationError):
        FeedbackParameters(**wrong)


def test_feedback_that_counts_nothing_is_refused():
    with pytest.raises(ValidationError):
        TrainingSetParameters(feedback_weight=0)


def test_the_synthetic_sample_is_learned_by_the_small_network_unless_another_is_asked_for():
    sample = TrainingParameters().to_training("sample")
    assert (sample.architecture, sample.epochs) == ("compact_cnn", 10)
    assert TrainingParameters(architecture="lite0_map", epochs=2).to_training("sample") == TrainingConfig(
        architecture="lite0_map", epochs=2
    )


@pytest.mark.parametrize("values", [{"shear_degrees": 11}, {"copies": -1}, {"zoom_share": 2}])
def test_augmentation_outside_its_range_is_refused(values):
    with pytest.raises(ValidationError):
        AugmentationParameters(**values)


def test_a_test_share_of_more_than_half_is_refused():
    with pytest.raises(ValidationError):
        SplitParameters(test_share=0.6)
