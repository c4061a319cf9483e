"""The model behind BentoML: `bentoml serve bentoml_service:Classifier --port PORT`."""

import os
from pathlib import Path
from typing import Any

import bentoml
from judging import Judge


@bentoml.service(workers=int(os.environ["BENCH_WORKERS"]), threads=1, logging={"access": {"enabled": False}})
class Classifier:
    """Takes a multipart form with the image as `file`."""

    def __init__(self) -> None:
        self._judge = Judge()

    @bentoml.api
    def predict(self, file: Path) -> dict[str, Any]:
        """Class and probabilities."""
        return self._judge(file.read_bytes())
