"""What goes in and out of a bundle's graph, as MLflow shows it: the file `MLmodel` makes a folder a loadable model."""

import platform
from typing import TYPE_CHECKING, Any

from brain_core.bundle import MODEL_FILE

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

MLMODEL_FILE = "MLmodel"
_ANY_LENGTH = -1


def model_signature(model: bytes) -> "ModelSignature":
    """The inputs and outputs of an ONNX graph with their types and shapes; -1 stands for any length.

    Args:
        model: the bytes of the ONNX file.

    Raises:
        ValueError: the bytes are no ONNX graph.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from mlflow.models import ModelSignature

    try:
        graph = onnx.load_from_string(model).graph
    except DecodeError as exc:
        raise ValueError(f"{MODEL_FILE} is no ONNX graph: {exc}. Export the model again.") from exc
    return ModelSignature(inputs=_schema(graph.input), outputs=_schema(graph.output))


def mlmodel_file(model: bytes, run_id: str) -> bytes:
    """The file `MLmodel` to lie beside a bundle's `model.onnx`: MLflow shows the signature and can load the folder.

    Args:
        model: the bytes of the ONNX file.
        run_id: of the training.

    Raises:
        ValueError: the bytes are no ONNX graph.
    """
    import onnx
    from mlflow.models import Model

    described = Model(run_id=run_id, signature=model_signature(model))
    described.add_flavor(
        "onnx", onnx_version=onnx.__version__, data=MODEL_FILE, providers=["CPUExecutionProvider"], code=None
    )
    described.add_flavor(
        "python_function", loader_module="mlflow.onnx", data=MODEL_FILE, python_version=platform.python_version()
    )
    return str(described.to_yaml()).encode()


def _schema(values: Any) -> Any:
    from mlflow.types import Schema

    return Schema([_tensor(value) for value in values])


def _tensor(value: Any) -> Any:
    import onnx
    from mlflow.types import TensorSpec

    kind = value.type.tensor_type
    # A dimension with a name, or without anything, may have any length.
    shape = [size.dim_value if size.HasField("dim_value") else _ANY_LENGTH for size in kind.shape.dim]
    return TensorSpec(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type), tuple(shape), value.name)
