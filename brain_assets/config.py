"""What can be changed for one run in Dagit's launch pad."""

import dagster as dg
from pydantic import Field


class SplitParameters(dg.Config):
    """How the duplicate groups are divided."""

    validation_share: float = Field(0.1, gt=0, lt=0.5, description="Share of the groups that tune the training.")
    test_share: float = Field(0.2, gt=0, lt=0.5, description="Share of the groups that only judge.")
    seed: int = Field(0, description="Another seed is another division.")


class AugmentationParameters(dg.Config):
    """The original's geometric augmentations."""

    copies: int = Field(1, ge=0, le=10, description="Altered copies of each image.")
    rotation_degrees: float = Field(10.0, ge=0, le=45)
    shift_share: float = Field(0.05, ge=0, le=0.3, description="Of height and width.")
    shear_degrees: float = Field(10.0, ge=0, le=10)
    zoom_share: float = Field(0.1, ge=0, le=0.5)
    horizontal_flip: bool = True
    seed: int = 0


class TrainingParameters(dg.Config):
    """How the model is trained."""

    architecture: str = Field("compact_cnn", description="A name of `brain_assets.ml.model`.")
    seed: int = 0
