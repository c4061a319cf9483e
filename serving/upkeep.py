"""What the API does beside its requests: delivers what waits in the outbox, sweeps what crashes left."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from brain_core.errors import BrainError, StorageError
from brain_core.outbox import ImageOutbox, OutboxState
from brain_core.strays import StraySweeper
from serving.shelf import ImageShelf

logger = logging.getLogger(__name__)

LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True)
class Rhythm:
    """Seconds between looks into the outbox, and between sweeps."""

    outbox_s: float
    sweep_s: float


class Upkeep:
    """Does its rounds in a thread of its own. A part that is away makes it pause longer and longer, never stop.

    Args:
        outbox: images that wait for the bucket.
        shelf: where they go.
        sweeper: deletes what crashes left.
        rhythm: how often.

    Attributes:
        on_outbox: is told the state of the outbox after every look; a place for metrics.
    """

    def __init__(self, outbox: ImageOutbox, shelf: ImageShelf, sweeper: StraySweeper, rhythm: Rhythm) -> None:
        self.on_outbox: Callable[[OutboxState], None] = _unwatched
        self._outbox, self._shelf, self._sweeper, self._rhythm = outbox, shelf, sweeper, rhythm
        self._failures = 0
        self._next_sweep = 0.0
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begin the rounds; the first sweep comes at once, since a crash may be why this process was started."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round that is under way."""
        self._is_stopping.set()
        self._thread.join()

    def round(self) -> None:
        """Deliver what is due; sweep when it is time. What fails is logged once and tried again later."""
        try:
            self._deliver()
            if time.monotonic() >= self._next_sweep:
                self._sweep()
                self._next_sweep = time.monotonic() + self._rhythm.sweep_s
        except BrainError as exc:
            self._note_failure("Outbox and sweep wait for a part that is away.", exc)
        except Exception as exc:  # noqa: BLE001 - no fault may end the thread that empties the outbox
            self._note_failure("Outbox and sweep failed and are tried again; are the tables there?", exc)
        else:
            self._failures = 0

    def pause_s(self) -> float:
        """Until the next round: doubled with each failure."""
        return min(LONGEST_PAUSE_S, self._rhythm.outbox_s * 2.0 ** min(self._failures, 10))

    def _note_failure(self, message: str, error: Exception) -> None:
        if self._failures == 0:
            fields = {"event.action": "upkeep", "event.outcome": "failure", "error.message": str(error)}
            logger.warning(message, extra=fields)
        self._failures += 1

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            self.round()
            self._is_stopping.wait(self.pause_s())

    def _deliver(self) -> None:
        delivered = 0
        try:
            while not self._is_stopping.is_set() and self._outbox.deliver_one(self._shelf.deliver):
                delivered += 1
        except StorageError:
            self.on_outbox(self._outbox.state())
            raise
        state = self._outbox.state()
        self.on_outbox(state)
        if state.depth == 0:
            self._shelf.note_return()
        if delivered:
            fields = {"event.action": "deliver-outbox", "event.outcome": "success", "brain.outbox.delivered": delivered}
            logger.info("Images of the outbox are in the bucket.", extra=fields)

    def _sweep(self) -> None:
        swept = self._sweeper.sweep()
        if swept and any(swept):
            fields = {
                "event.action": "sweep-images",
                "event.outcome": "success",
                "brain.sweep.noted": swept.noted,
                "brain.sweep.orphaned": swept.orphaned,
            }
            logger.info("Images that interrupted requests left were deleted.", extra=fields)


def _unwatched(_: OutboxState) -> None:
    return
