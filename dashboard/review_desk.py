"""What a reviewer has on the desk: a part of the queue, the place in it, and what was decided; no Streamlit here."""

from dataclasses import dataclass, field
from uuid import UUID

from brain_core.client import BrainClient
from brain_core.contracts import ReviewItem, SimilarImages
from brain_core.errors import ApiError, NothingThere, StateConflict
from brain_core.labels import TumourClass
from dashboard.wording import CLASS_NAMES

ITEMS_ON_DESK = 12
"""So much of the queue is fetched at a time."""

MAX_LOOKED_THROUGH = 100
"""Of the newest feedback, for one that was changed just now."""

ACCEPTED, REJECTED, CHANGED, GONE = "accepted", "rejected", "changed", "gone"
"""What can become of a decision: as wished, or the reader was there first, or the owner erased the image."""


@dataclass(frozen=True)
class Shown:
    """What is shown of the queue; None does not filter.

    Attributes:
        review_state: `pending`, `accepted` or `rejected`.
        agrees: only agreement, or only corrections.
        corrected_class: only corrections to this class.
        model_version: only what this model said.
    """

    review_state: str | None = None
    agrees: bool | None = None
    corrected_class: str | None = None
    model_version: str | None = None


@dataclass
class Desk:
    """A part of the queue and the reviewer's place in it.

    Attributes:
        shown: what the part was asked for with.
        pages: what this part and those before it were asked for with; None is the beginning.
        items: the part, newest first; decided ones stay, so that one can go back to them.
        total: feedback that fits, on all parts.
        next_page: asks for the next part; None: this is the last.
        waiting_images: corrected images that wait for a retraining.
        retraining_above: a retraining starts when more wait.
        place: index of the item that is looked at.
        decided: items that were decided here.
        gone: items whose image was erased meanwhile.
        changed: items that their readers changed meanwhile.
    """

    shown: Shown
    pages: tuple[str | None, ...]
    items: list[ReviewItem]
    total: int
    next_page: str | None
    waiting_images: int
    retraining_above: int
    place: int = 0
    decided: set[UUID] = field(default_factory=set)
    gone: set[UUID] = field(default_factory=set)
    changed: set[UUID] = field(default_factory=set)

    @property
    def item(self) -> ReviewItem | None:
        """What is looked at; None on an empty desk."""
        return self.items[self.place] if self.items else None

    @property
    def open_items(self) -> list[ReviewItem]:
        """What was neither decided here nor erased."""
        return [item for item in self.items if item.prediction_id not in self.decided | self.gone]

    def step(self, places: int) -> None:
        """Look at another item; the ends hold."""
        self.place = max(0, min(len(self.items) - 1, self.place + places))

    def go_on(self) -> None:
        """Look at the next open item, then at those before; stay where none is open."""
        ahead = [*range(self.place + 1, len(self.items)), *range(self.place)]
        still_open = {item.prediction_id for item in self.open_items}
        self.place = next((place for place in ahead if self.items[place].prediction_id in still_open), self.place)

    def replace(self, item: ReviewItem) -> None:
        """Put the present state of an item in the place of the earlier one."""
        self.items = [item if one.prediction_id == item.prediction_id else one for one in self.items]


def fetch_desk(client: BrainClient, shown: Shown, pages: tuple[str | None, ...] = (None,)) -> Desk:
    """Fetch a part of the queue.

    Raises:
        ApiError: it cannot be had.
    """
    queue = client.review_queue(pages[-1], ITEMS_ON_DESK, **vars(shown))
    return Desk(shown, pages, queue.items, queue.total, queue.next_page, queue.waiting_images, queue.retraining_above)


def decide(client: BrainClient, desk: Desk, item: ReviewItem, review_state: str, comment: str | None) -> str:
    """Accept or reject what was looked at, and keep on the desk what came of it.

    Returns:
        `ACCEPTED`, `REJECTED`, `CHANGED` or `GONE`.

    Raises:
        ApiError: nothing was decided.
    """
    try:
        reviewed = client.review(item.prediction_id, item.revision, review_state, comment)
    except StateConflict:
        return _look_again(client, desk, item)
    except NothingThere:
        desk.gone.add(item.prediction_id)
        return GONE
    desk.replace(reviewed)
    desk.decided.add(item.prediction_id)
    desk.changed.discard(item.prediction_id)
    return reviewed.review_state


def count_again(client: BrainClient, desk: Desk) -> None:
    """Fetch how many images wait now; where that fails, the earlier number stays."""
    try:
        queue = client.review_queue(limit=1)
    except ApiError:
        return
    desk.waiting_images, desk.retraining_above = queue.waiting_images, queue.retraining_above


def says(item: ReviewItem) -> TumourClass:
    """The class that the reader says it is."""
    return item.corrected_class or item.predicted_class


def similar_words(similar: SimilarImages) -> str:
    """What the most similar images are taken for, in a sentence."""
    if similar.compared == 0:
        return "There is no similar image to compare with yet."
    images, have = ("image", "has") if similar.compared == 1 else ("images", "have")
    return f"**{similar.agreeing} of {similar.compared}** similar {images} {have} this class."


def waiting_words(waiting: int, above: int) -> str:
    """How far it is to the next retraining, in a sentence."""
    images, wait = ("image", "waits") if waiting == 1 else ("images", "wait")
    told = f"**{waiting} corrected {images}** {wait}"
    if waiting > above:
        return f"{told}: that is more than {above}, so a retraining starts soon"
    return f"{told}; a retraining starts when more than {above} do"


def change_words(item: ReviewItem) -> str:
    """What the model and the reader say, in a few words."""
    if item.agrees:
        return f"{CLASS_NAMES[item.predicted_class]}, the reader agrees"
    return f"{CLASS_NAMES[item.predicted_class]} → {CLASS_NAMES[says(item)]}"


def outcome_words(outcomes: list[str]) -> str:
    """What became of several decisions, in a sentence each."""
    sentences = {
        ACCEPTED: "{} accepted.",
        REJECTED: "{} rejected.",
        CHANGED: "{} changed by the reader meanwhile, and not decided: look again.",
        GONE: "{} erased by the owner meanwhile: nothing left to decide.",
    }
    counts = {outcome: outcomes.count(outcome) for outcome in sentences}
    return " ".join(sentences[outcome].format(count) for outcome, count in counts.items() if count)


def _look_again(client: BrainClient, desk: Desk, item: ReviewItem) -> str:
    # What was changed is the newest: it stands at the beginning of the unfiltered queue.
    newest = client.review_queue(limit=MAX_LOOKED_THROUGH).items
    now = next((one for one in newest if one.prediction_id == item.prediction_id), None)
    if now is None:
        desk.gone.add(item.prediction_id)
        return GONE
    desk.replace(now)
    desk.decided.discard(item.prediction_id)
    desk.changed.add(item.prediction_id)
    return CHANGED
