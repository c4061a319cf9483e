"""The model behind LitServe: `python litserve_server.py PORT WORKERS`."""

import sys
from typing import Any

import litserve
from fastapi import Request
from judging import Judge


class Classifier(litserve.LitAPI):
    """Takes a multipart form with the image as `file`."""

    def setup(self, device: str) -> None:
        """Load the model, once in each worker."""
        del device
        self._judge = Judge()

    def decode_request(self, request: Request, **kwargs: Any) -> bytes:
        """The image's bytes; with this annotation LitServe hands over the form."""
        del kwargs
        form: Any = request
        data: bytes = form["file"].file.read()
        return data

    def predict(self, data: bytes, **kwargs: Any) -> dict[str, Any]:
        """Class and probabilities."""
        del kwargs
        return self._judge(data)

    def encode_response(self, output: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """The answer as it is."""
        del kwargs
        return output


if __name__ == "__main__":
    port, workers = map(int, sys.argv[1:])
    server = litserve.LitServer(Classifier(), accelerator="cpu", workers_per_device=workers)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")
