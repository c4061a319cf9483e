"""What the training assets keep about their results."""

from datetime import UTC, datetime

from pydantic import BaseModel, Field

from brain_assets.ml.metrics import Evaluation
from brain_assets.ml.policy import Decision
from brain_core.bundle import Provenance
from brain_core.storage import asset_key

WEIGHTS_KEY = asset_key("trained_model", "model.weights.h5")
"""Where the weights of the newest training lie."""


class TrainedModel(BaseModel):
    """The record of a training; the weights lie at `WEIGHTS_KEY`."""

    run_id: str
    architecture: str
    input_size: int
    temperature: float
    set_threshold: float
    coverage: float
    started_from: str | None
    initial: str = "scratch"
    data_version: str
    provenance: Provenance
    history: list[dict[str, float]]


class EvaluatedModel(BaseModel):
    """The record of an evaluation on the test groups."""

    run_id: str
    metrics: Evaluation


class RegisteredBundle(BaseModel):
    """The record of a bundle in the bucket and in MLflow."""

    version: str
    run_id: str
    parity: float
    gate_threshold: float
    onnx_mb: float


class PromotionRecord(BaseModel):
    """The record of a decision.

    Attributes:
        version: what was decided about.
        champion_before: the champion that it was compared with; None where there was none.
        decision: with its rules and figures.
        decided_at: UTC.
        test_groups: number of test groups that both models were judged on.
        left_out_groups: number of test groups that were left out since one of the models knew something of them.
        feedback_images: number of held-out corrected images that both models were judged on too.
    """

    version: str
    champion_before: str | None
    decision: Decision
    decided_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    test_groups: int = 0
    left_out_groups: int = 0
    feedback_images: int = 0
