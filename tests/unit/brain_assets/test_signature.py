import numpy as np
import pytest

from brain_assets.ml.signature import MLMODEL_FILE, mlmodel_file, model_signature
from brain_core.bundle import MODEL_FILE
from tests.fixtures_bundle import SIZE, tiny_model


def test_the_signature_is_that_of_the_graph():
    signature = model_signature(tiny_model())
    (images,) = signature.inputs.inputs
    assert (images.name, images.type, images.shape) == ("images", np.dtype("uint8"), (-1, SIZE, SIZE, 1))
    assert signature.outputs.input_names() == ["probabilities", "embedding", "activation_map"]
    assert signature.outputs.inputs[0].shape == (-1, 4)


def test_mlflow_loads_a_folder_with_the_file_and_answers(tmp_path):
    import mlflow

    (tmp_path / MODEL_FILE).write_bytes(tiny_model())
    (tmp_path / MLMODEL_FILE).write_bytes(mlmodel_file(tiny_model(), "run-1"))
    model = mlflow.pyfunc.load_model(str(tmp_path))
    assert model.metadata.run_id == "run-1"
    answers = model.predict({"images": np.zeros((2, SIZE, SIZE, 1), np.uint8)})
    assert answers["probabilities"].shape == (2, 4)


def test_bytes_that_are_no_graph_are_refused():
    with pytest.raises(ValueError, match="no ONNX graph"):
        model_signature(b"not a model")
