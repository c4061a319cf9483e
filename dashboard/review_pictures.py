"""The pictures on a reviewer's desk: fetched once a session with the admin key, dropped with the desk."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from brain_core.client import BrainClient
from brain_core.contracts import ReviewItem
from brain_core.errors import AccessRefused, ApiError, NothingThere, ServiceUnreachable
from brain_core.labels import TumourClass
from dashboard.review_desk import Desk

# An admin key stands in for the access token, which only the owner has.
_NO_TOKEN = ""

Fetched = TypeVar("Fetched")


@dataclass
class Pictures:
    """What was fetched of the items on a desk; what could not be had is asked for again the next time."""

    kept: dict[tuple[str, UUID], Any] = field(default_factory=dict)

    def image(self, client: BrainClient, desk: Desk, item: ReviewItem) -> bytes | None:
        """JPEG of the stored image; None where it cannot be had.

        Raises:
            AccessRefused: the key is no longer good.
            ServiceUnreachable: the service is away.
        """
        return self._fetched("image", client.image, desk, item)

    def overlay(self, client: BrainClient, desk: Desk, item: ReviewItem) -> bytes | None:
        """PNG of the model's evidence over the image; None where it cannot be had; raises as `image` does."""
        return self._fetched("overlay", client.explanation_png, desk, item)

    def probability(self, client: BrainClient, desk: Desk, item: ReviewItem, name: TumourClass) -> float | None:
        """What the model gave a class; None where it cannot be had; raises as `image` does."""
        prediction = self._fetched("prediction", client.get, desk, item)
        return None if prediction is None else prediction.probabilities.get(name)

    def _fetched(
        self, kind: str, fetch: Callable[[UUID, str], Fetched], desk: Desk, item: ReviewItem
    ) -> Fetched | None:
        name = kind, item.prediction_id
        if item.prediction_id in desk.gone:
            self.kept.pop(name, None)
            return None
        if name not in self.kept:
            try:
                self.kept[name] = fetch(item.prediction_id, _NO_TOKEN)
            except NothingThere:
                desk.gone.add(item.prediction_id)
            except (AccessRefused, ServiceUnreachable):
                raise
            except ApiError:
                return None
        found: Fetched | None = self.kept.get(name)
        return found
