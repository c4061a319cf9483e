"""The bounded queue in front of the model: what cannot be answered soon is refused at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from brain_core.errors import Overloaded

RETRY_AFTER_S = 1.0
"""A queue that is full now has moved on by then."""


class Intake:
    """Counts uploads and the bytes that they hold; belongs to one event loop.

    Args:
        max_uploads: that are worked on or wait.
        max_bytes: that all unfinished uploads hold together.
        on_change: is told how many are worked on or wait; a place for metrics.

    Attributes:
        uploads: how many are worked on or wait now.
        held_bytes: how many bytes unfinished uploads hold now.
    """

    def __init__(self, max_uploads: int, max_bytes: int, on_change: Callable[[int], None] | None = None) -> None:
        self.uploads = 0
        self.held_bytes = 0
        self._max_uploads, self._max_bytes, self._on_change = max_uploads, max_bytes, on_change

    @contextmanager
    def place(self) -> Iterator["Place"]:
        """A place for one upload, given up at the end of the block.

        Raises:
            Overloaded: the queue is full, so that the body need not even be read.
        """
        self._require_room()
        place = Place(self)
        try:
            yield place
        finally:
            place.give_up()

    def hold(self, count: int) -> None:
        """Count bytes of an upload.

        Raises:
            Overloaded: there are too many.
        """
        if self.held_bytes + count > self._max_bytes:
            raise Overloaded("The uploads that are under way hold as many bytes as the server can.", RETRY_AFTER_S)
        self.held_bytes += count

    def enter(self) -> None:
        """Count an upload that was read.

        Raises:
            Overloaded: the queue filled up meanwhile.
        """
        self._require_room()
        self._count(1)

    def leave(self) -> None:
        """An upload is done."""
        self._count(-1)

    def release(self, count: int) -> None:
        """Bytes of an upload are let go."""
        self.held_bytes -= count

    def _count(self, change: int) -> None:
        self.uploads += change
        if self._on_change:
            self._on_change(self.uploads)

    def _require_room(self) -> None:
        if self.uploads >= self._max_uploads:
            raise Overloaded(f"{self.uploads} uploads wait already.", RETRY_AFTER_S)


@dataclass
class Place:
    """What one upload takes."""

    _intake: Intake
    _held_bytes: int = 0
    _is_in: bool = False

    def hold(self, count: int) -> None:
        """Count further bytes; raises `Overloaded`."""
        self._intake.hold(count)
        self._held_bytes += count

    def enter(self) -> None:
        """The upload is read and waits for the model; raises `Overloaded`."""
        self._intake.enter()
        self._is_in = True

    def give_up(self) -> None:
        """Make room."""
        self._intake.release(self._held_bytes)
        if self._is_in:
            self._intake.leave()
        self._held_bytes, self._is_in = 0, False
