"""How good a trained model is on the test images."""

from brain_assets.asset_store import ImageSet
from brain_assets.ml.export import calibrated_model
from brain_assets.ml.metrics import evaluate
from brain_assets.ml.records import EvaluatedModel, TrainedModel
from brain_assets.ml.tracking import recipe_of


def evaluate_model(model: TrainedModel, weights: bytes, test: ImageSet) -> EvaluatedModel:
    """Judge a model on the test images."""
    keras_model = calibrated_model(weights, recipe_of(model))
    probabilities = keras_model.predict(test.images[:], batch_size=64, verbose=0)["probabilities"]
    return EvaluatedModel(run_id=model.run_id, metrics=evaluate(probabilities, test.labels, test.groups))
