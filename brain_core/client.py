"""A typed client of the prediction API, for the dashboard, the command and users."""

from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

import httpx
from pydantic import BaseModel, ValidationError

from brain_core.contracts import CreatedPrediction, Feedback, ModelCard, Prediction
from brain_core.errors import ApiError
from brain_core.labels import CONSENT_VERSION, TumourClass

Answer = TypeVar("Answer", bound=BaseModel)


class BrainClient:
    """Talks to one prediction API; usable from several threads; close it, or use it as a context manager.

    Every method raises `ApiError`: with the HTTP status and the problem document when the service answered with one,
    with status 0 when it could not be reached or did not answer in time.

    Args:
        base_url: of the API, such as `http://127.0.0.1:8000`.
        timeout_s: seconds to wait for a connection, and for each part of an answer.
        api_key: sent with every request; None: none.
    """

    def __init__(self, base_url: str, timeout_s: float = 30.0, api_key: str | None = None) -> None:
        headers = {b"X-API-Key": api_key.encode()} if api_key else {}
        try:
            self._http = httpx.Client(base_url=base_url, timeout=timeout_s, headers=headers)
        except httpx.InvalidURL as exc:
            raise ApiError(f"{base_url!r} is not the address of a service: {exc}.") from exc

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def predict(self, image: bytes, consent: bool, consent_version: str = CONSENT_VERSION) -> CreatedPrediction:
        """Upload one JPEG or PNG; no file name is sent.

        Args:
            image: the bytes of the file.
            consent: has the owner of the image agreed to `labels.CONSENT_TEXT`?
            consent_version: version of the text that was agreed to.
        """
        # Without some name the part would count as a text field.
        files = {"file": ("image", image, "application/octet-stream")}
        form = {"consent": str(consent).lower(), "consent_version": consent_version}
        return _parsed(CreatedPrediction, self._request("POST", "/v1/predictions", files=files, data=form))

    def get(self, prediction_id: UUID | str, access_token: str) -> Prediction:
        """A prediction that was made before."""
        return _parsed(Prediction, self._owned("GET", prediction_id, access_token))

    def image(self, prediction_id: UUID | str, access_token: str) -> bytes:
        """The stored image: JPEG without metadata."""
        return self._owned("GET", prediction_id, access_token, "/image").content

    def explanation_png(self, prediction_id: UUID | str, access_token: str) -> bytes:
        """The image under the model's evidence for the predicted class."""
        return self._owned("GET", prediction_id, access_token, "/explanation.png").content

    def feedback(
        self, prediction_id: UUID | str, access_token: str, corrected_class: TumourClass | str | None = None
    ) -> Feedback:
        """Say that a prediction was right, or which class would have been."""
        verdict = {"agrees": corrected_class is None, "corrected_class": corrected_class}
        return _parsed(Feedback, self._owned("PUT", prediction_id, access_token, "/feedback", json=verdict))

    def erase(self, prediction_id: UUID | str, access_token: str) -> None:
        """Erase an upload for ever."""
        self._owned("DELETE", prediction_id, access_token)

    def model(self) -> ModelCard:
        """The model that answers now."""
        return _parsed(ModelCard, self._request("GET", "/v1/model"))

    def is_ready(self) -> bool:
        """Can predictions be made now? False also when the service is away."""
        try:
            self._request("GET", "/readyz")
        except ApiError:
            return False
        return True

    def _owned(
        self, method: str, prediction_id: UUID | str, access_token: str, path: str = "", **options: Any
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {access_token}".strip().encode()}
        return self._request(method, f"/v1/predictions/{prediction_id}{path}", headers=headers, **options)

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx.TimeoutException as exc:
            raise ApiError(f"The prediction service at {self._http.base_url} did not answer in time.") from exc
        except httpx.HTTPError as exc:
            raise ApiError(f"The prediction service at {self._http.base_url} cannot be reached: {exc}.") from exc
        if not response.is_success:
            raise _api_error(response)
        return response


def _parsed(model: type[Answer], response: httpx.Response) -> Answer:
    try:
        return model.model_validate_json(response.content)
    except ValidationError as exc:
        raise ApiError(
            f"{response.url} answered something else than a {model.__name__}.", response.status_code
        ) from exc


def _api_error(response: httpx.Response) -> ApiError:
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    message = problem.get("detail") or problem.get("title") or f"The service answered {response.status_code}."
    return ApiError(str(message), response.status_code, problem)
