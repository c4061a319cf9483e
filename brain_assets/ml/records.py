"""What the training assets keep about their results."""

from pydantic import BaseModel

from brain_assets.ml.metrics import Evaluation
from brain_assets.ml.promotion import Decision
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
    uncertain_below: float
    started_from: str | None
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
    """The record of a decision."""

    version: str
    champion_before: str | None
    decision: Decision
