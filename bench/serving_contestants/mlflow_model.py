"""The model behind `mlflow models serve`, as code: `python mlflow_model.py FOLDER` saves it."""

import base64
import os
import sys
from pathlib import Path
from typing import Any

import mlflow
from judging import Judge
from mlflow.pyfunc import PythonModel


class Classifier(PythonModel):
    """Takes images in base 64."""

    def load_context(self, context: Any) -> None:
        """Load the model, once in each worker."""
        self._judge = Judge(context.artifacts["model"])

    def predict(self, context: Any, model_input: Any, params: Any = None) -> list[dict[str, Any]]:
        """Class and probabilities of each."""
        del context, params
        return [self._judge(base64.b64decode(text)) for text in model_input]


def save(folder: str) -> None:
    """Write the model in MLflow's layout."""
    code = [str(Path(__file__).with_name("judging.py"))]
    artifacts = {"model": os.environ["BENCH_MODEL"]}
    mlflow.pyfunc.save_model(folder, python_model=__file__, artifacts=artifacts, code_paths=code, pip_requirements=[])


if __name__ == "__main__":
    save(sys.argv[1])
else:
    mlflow.models.set_model(Classifier())
