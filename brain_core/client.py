"""A typed client of the prediction API, for the dashboard, the command and users."""

from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote
from uuid import UUID

import httpx
from pydantic import BaseModel, ValidationError

from brain_core.contracts import (
    Consent,
    CreatedPrediction,
    Explanation,
    Feedback,
    ModelCard,
    ModelList,
    Prediction,
    PromotionOrder,
    ReviewItem,
    ReviewQueue,
)
from brain_core.errors import (
    AccessRefused,
    AlreadyErased,
    ApiError,
    ConsentRefused,
    ImageRefused,
    ImageUnusable,
    NothingThere,
    RequestInvalid,
    ServiceFailed,
    ServiceUnavailable,
    ServiceUnreachable,
    StateConflict,
    TooManyRequests,
)
from brain_core.labels import CONSENT_VERSION, TumourClass

Answer = TypeVar("Answer", bound=BaseModel)

_BY_PROBLEM: dict[str, type[ApiError]] = {
    "consent-missing": ConsentRefused,
    "consent-outdated": ConsentRefused,
    "invalid-image": ImageUnusable,
    "image-too-large": ImageUnusable,
    "unsupported-image-type": ImageUnusable,
    "not-a-brain-mri": ImageRefused,
    "idempotency-key-reused": StateConflict,
}
_BY_STATUS: dict[int, type[ApiError]] = {
    HTTPStatus.UNAUTHORIZED: AccessRefused,
    HTTPStatus.FORBIDDEN: AccessRefused,
    HTTPStatus.NOT_FOUND: NothingThere,
    HTTPStatus.CONFLICT: StateConflict,
    HTTPStatus.GONE: AlreadyErased,
    HTTPStatus.TOO_MANY_REQUESTS: TooManyRequests,
    HTTPStatus.SERVICE_UNAVAILABLE: ServiceUnavailable,
}


@dataclass(frozen=True)
class Erasure:
    """What became of a request to erase; not complete while the bucket, which is away, still has the image."""

    is_complete: bool


class BrainClient:
    """Talks to one prediction API; usable from several threads; close it, or use it as a context manager.

    Every method raises an `ApiError`. Its subclass tells what to do about it (see `brain_core.errors`): try later
    (`ServiceUnreachable`, `ServiceUnavailable`, `TooManyRequests`), change the request (`RequestInvalid` and below),
    use another key or token (`AccessRefused`, `NothingThere`), look again (`StateConflict`). Each has the HTTP status
    and the problem document, status 0 when there was no answer.

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
            raise ServiceUnreachable(f"{base_url!r} is not the address of a service: {exc}.") from exc

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

    def consent(self, version: str | None = None) -> Consent:
        """The text to agree to before an upload; or, by its version, what somebody agreed to earlier."""
        return _parsed(
            Consent, self._request("GET", "/v1/consent" + (f"/{quote(version, safe='')}" if version else ""))
        )

    def predict(
        self,
        image: bytes,
        consent: bool,
        consent_version: str = CONSENT_VERSION,
        idempotency_key: str | None = None,
    ) -> CreatedPrediction:
        """Upload one JPEG or PNG; no file name is sent.

        Args:
            image: the bytes of the file.
            consent: has the owner of the image agreed to the text that `consent` gives?
            consent_version: version of the text that was agreed to.
            idempotency_key: name of this upload, such as a UUID: after an error that leaves open whether it was kept,
                the same call gives the same answer instead of a second prediction.

        Raises:
            ConsentRefused: there is no consent, or it is for another text.
            ImageUnusable: the file is no JPEG or PNG, is damaged or too large.
            ImageRefused: it is not a brain MRI slice.
        """
        # Without some name the part would count as a text field.
        files = {"file": ("image", image, "application/octet-stream")}
        form = {"consent": str(consent).lower(), "consent_version": consent_version}
        headers = {"Idempotency-Key": idempotency_key.encode()} if idempotency_key else {}
        response = self._request("POST", "/v1/predictions", files=files, data=form, headers=headers)
        return _parsed(CreatedPrediction, response)

    def get(self, prediction_id: UUID | str, access_token: str) -> Prediction:
        """A prediction that was made before."""
        return _parsed(Prediction, self._owned("GET", prediction_id, access_token))

    def image(self, prediction_id: UUID | str, access_token: str) -> bytes:
        """The stored image: JPEG without metadata."""
        return self._owned("GET", prediction_id, access_token, "/image").content

    def explanation_png(self, prediction_id: UUID | str, access_token: str) -> bytes:
        """The image under the model's evidence for the predicted class."""
        return self._owned("GET", prediction_id, access_token, "/explanation.png").content

    def contours(self, prediction_id: UUID | str, access_token: str) -> Explanation:
        """Where the evidence for the predicted class is: its maximum and its outlines."""
        return _parsed(Explanation, self._owned("GET", prediction_id, access_token, "/contours"))

    def feedback(
        self, prediction_id: UUID | str, access_token: str, corrected_class: TumourClass | str | None = None
    ) -> Feedback:
        """Say that a prediction was right, or which class would have been."""
        verdict = {"agrees": corrected_class is None, "corrected_class": corrected_class}
        return _parsed(Feedback, self._owned("PUT", prediction_id, access_token, "/feedback", json=verdict))

    def erase(self, prediction_id: UUID | str, access_token: str) -> Erasure:
        """Erase an upload for ever."""
        response = self._owned("DELETE", prediction_id, access_token)
        return Erasure(is_complete=response.status_code != HTTPStatus.ACCEPTED)

    def review_queue(self, page: str | None = None, limit: int = 20, **shown: str | bool | None) -> ReviewQueue:
        """A part of the feedback, newest first (admin).

        Args:
            page: `next_page` of the part before; None: from the beginning.
            limit: most items, at most 100.
            shown: filters: `review_state`, `agrees`, `corrected_class`, `predicted_class`, `model_version`, `is_used`.
        """
        query = {name: value for name, value in {"page": page, "limit": limit, **shown}.items() if value is not None}
        return _parsed(ReviewQueue, self._request("GET", "/v1/feedback", params=query))

    def review(
        self, prediction_id: UUID | str, revision: int, review_state: str, comment: str | None = None
    ) -> ReviewItem:
        """Accept or reject (`accepted`, `rejected`) the revision of a feedback that was looked at (admin).

        Raises:
            StateConflict: the reader has changed it since.
        """
        decision = {"revision": revision, "review_state": review_state, "comment": comment}
        return _parsed(ReviewItem, self._request("PUT", f"/v1/feedback/{prediction_id}/review", json=decision))

    def models(self) -> ModelList:
        """The models, the decisions about them, and the newest requests for promotion (admin)."""
        return _parsed(ModelList, self._request("GET", "/v1/models"))

    def promote(self, version: str) -> PromotionOrder:
        """Ask for a version, also an older one, to be made the champion (admin); `models` shows what came of it."""
        return _parsed(PromotionOrder, self._request("POST", f"/v1/models/{quote(version, safe='')}/promote"))

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
        address = self._http.base_url
        try:
            response = self._http.request(method, path, **options)
        except httpx.TimeoutException as exc:
            raise ServiceUnreachable(f"The prediction service at {address} did not answer in time.") from exc
        except httpx.HTTPError as exc:
            raise ServiceUnreachable(f"The prediction service at {address} cannot be reached: {exc}.") from exc
        if not response.is_success:
            raise _api_error(response)
        return response


def _parsed(model: type[Answer], response: httpx.Response) -> Answer:
    try:
        return model.model_validate_json(response.content)
    except ValidationError as exc:
        raise ServiceFailed(
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
    error = _error_type(response.status_code, problem)(str(message), response.status_code, problem)
    if isinstance(error, ServiceUnavailable | TooManyRequests):
        error.retry_after_s = _seconds(response.headers.get("Retry-After", ""))
    return error


def _error_type(status: int, problem: dict[str, Any]) -> type[ApiError]:
    slug = str(problem.get("type", "")).rpartition("/")[2]
    usual = RequestInvalid if status < HTTPStatus.INTERNAL_SERVER_ERROR else ServiceFailed
    return _BY_PROBLEM.get(slug) or _BY_STATUS.get(status, usual)


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() else 0.0
