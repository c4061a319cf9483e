"""What can be changed for one run in Dagit's launch pad."""

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

if TYPE_CHECKING:
    from brain_assets.ml.augmentation import AugmentationConfig
    from brain_assets.ml.feedback import FeedbackPolicy
    from brain_assets.ml.training_data import TrainingConfig


class SplitParameters(dg.Config):
    """How the duplicate groups are divided."""

    validation_share: float = Field(0.1, gt=0, lt=0.5, description="Share of the groups that tune the training.")
    test_share: float = Field(0.2, gt=0, lt=0.5, description="Share of the groups that only judge.")
    seed: int = Field(0, description="Another seed is another division of what was not divided before.")

    @property
    def fractions(self) -> tuple[float, float, float]:
        """Of train, validation and test."""
        return 1 - self.validation_share - self.test_share, self.validation_share, self.test_share


class FeedbackParameters(dg.Config):
    """What becomes of corrections."""

    # The same defaults as `FeedbackPolicy`, held by a test.

    disagreement: str = Field(
        "majority",
        pattern="^(majority|newest|leave_out)$",
        description="Which class holds when readers gave one image several.",
    )
    held_out_share: float = Field(
        0.2, ge=0, lt=1, description="Of the corrected images: they judge models and are never trained on."
    )

    def to_policy(self) -> "FeedbackPolicy":
        """The same for `brain_assets.ml`."""
        from brain_assets.ml.feedback import FeedbackPolicy

        return FeedbackPolicy(**self.model_dump())


class TrainingSetParameters(dg.Config):
    """What is trained on."""

    feedback_weight: float = Field(
        1.0, gt=0, le=20, description="What a corrected image counts in the loss, where one of the source counts 1."
    )


class AugmentationParameters(dg.Config):
    """The original's geometric augmentations."""

    # The same defaults as `AugmentationConfig`, held by a test: to import it here would slow down every start.

    copies: int = Field(1, ge=0, le=10, description="Altered copies of each image.")
    rotation_degrees: float = Field(10.0, ge=0, le=45)
    shift_share: float = Field(0.05, ge=0, le=0.3, description="Of height and width.")
    shear_degrees: float = Field(10.0, ge=0, le=10)
    zoom_share: float = Field(0.1, ge=0, le=0.5)
    horizontal_flip: bool = True
    seed: int = 0

    def to_augmentation(self) -> "AugmentationConfig":
        """The same for `brain_assets.ml`."""
        from brain_assets.ml.augmentation import AugmentationConfig

        return AugmentationConfig(**self.model_dump())


class TrainingParameters(dg.Config):
    """How the model is trained."""

    # The same defaults as `TrainingConfig`, held by a test.

    architecture: str | None = Field(
        None, description="A name of `brain_assets.ml.model`. Default: twin_map; compact_cnn for the synthetic sample."
    )
    initial: str = Field("imagenet", pattern="^(imagenet|scratch)$", description="Weights to start from.")
    epochs: int | None = Field(
        None,
        description="At most so many passes over the duplicate groups. Default: 26; 10 for the sample; 5 from the "
        "champion's weights.",
    )
    min_steps: int | None = Field(
        None,
        ge=1,
        description="A small data set is passed over as often as these steps take. Default: 120; 100 from a champion.",
    )
    batch_size: int = Field(16, ge=1, le=1024)
    learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="The greatest; it rises, then falls as a cosine. Default: 1.5e-3; 4e-4 from the champion.",
    )
    weight_decay: float = Field(3e-2, ge=0, le=1)
    patience: int = Field(12, ge=1, description="Epochs without a lower validation loss after which training ends.")
    cell_weight: float = Field(1.0, ge=0, description="Of learning where the tumour is, where boxes are known.")
    variation: float = Field(1.0, ge=0, le=3, description="Strength of the random variation; 0 only mirrors.")
    seed: int = 0

    def to_training(self, source: str, is_retraining: bool = False) -> "TrainingConfig":
        """The same for `brain_assets.ml`; what is not given follows from the source of the images and the start."""
        from brain_assets.ml.training_data import config_for

        given = {name: value for name, value in self.model_dump().items() if value is not None}
        return config_for(source, is_retraining, **given)
