"""What several threads bring, worked on together where that costs less than each alone."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from brain_core.errors import BrainError

Item = TypeVar("Item")
Result = TypeVar("Result")

LEADERS = 2
"""Batches under way at once: with one, whoever comes just after a batch began waits for two of them."""

MAX_BATCH = 32
"""Most items of one batch, so that it stays short beside a request."""


class Batches(Generic[Item, Result]):
    """Hands what many threads bring to one function, in batches.

    A thread waits until its own item is done. Whoever comes while batches are under way joins the next one; nobody
    waits for others to come. There is no thread of its own: the first of those that wait does the work for one batch,
    then the first of those who came meanwhile.

    Args:
        work: takes a batch and gives a result for each item, in order. When it raises a `BrainError` (the database is
            away), the whole batch fails with it. After any other error each item is worked on alone, so that one that
            is at fault takes no other with it.
        leaders: so many batches may be under way at once.
        max_batch: most items of one batch.
    """

    def __init__(
        self, work: Callable[[Sequence[Item]], Sequence[Result]], leaders: int = LEADERS, max_batch: int = MAX_BATCH
    ) -> None:
        self._work, self._free_leaders, self._max_batch = work, leaders, max_batch
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting[Item, Result]] = deque()

    def add(self, item: Item) -> Result:
        """The result of one item, which is worked on together with those that wait."""
        mine: _Waiting[Item, Result] = _Waiting(item)
        with self._lock:
            self._waiting.append(mine)
            if self._free_leaders:
                self._free_leaders -= 1
                mine.lead()
        while not mine.is_done:
            if mine.wait():
                self._lead()
        return mine.outcome()

    def _lead(self) -> None:
        with self._lock:
            batch = [self._waiting.popleft() for _ in range(min(self._max_batch, len(self._waiting)))]
        try:
            if batch:
                self._work_on(batch)
        finally:
            with self._lock:
                if self._waiting:
                    self._waiting[0].lead()
                else:
                    self._free_leaders += 1

    def _work_on(self, batch: "Sequence[_Waiting[Item, Result]]") -> None:
        try:
            self._work_together(batch)
        except BrainError as exc:
            _fail(batch, exc)
        except Exception as exc:  # noqa: BLE001 - told to the thread whose item it was
            if len(batch) == 1:
                _fail(batch, exc)
            else:
                self._work_on_each(batch)

    def _work_together(self, batch: "Sequence[_Waiting[Item, Result]]") -> None:
        results = self._work([waiting.item for waiting in batch])
        for waiting, result in zip(batch, results, strict=True):
            waiting.succeed(result)

    def _work_on_each(self, batch: "Sequence[_Waiting[Item, Result]]") -> None:
        for waiting in batch:
            try:
                self._work_together([waiting])
            except Exception as exc:  # noqa: BLE001 - told to the thread whose item it was
                _fail([waiting], exc)


class _Waiting(Generic[Item, Result]):
    """One item, what became of it, and the thread that waits for it."""

    def __init__(self, item: Item) -> None:
        self.item, self.is_done = item, False
        self._woken, self._must_lead = threading.Event(), False
        self._results: list[Result] = []
        self._error: Exception | None = None

    def lead(self) -> None:
        """Wake the thread to work on the next batch."""
        self._must_lead = True
        self._woken.set()

    def wait(self) -> bool:
        """Sleep until woken; true when it is to lead."""
        self._woken.wait()
        self._woken.clear()
        must_lead, self._must_lead = self._must_lead, False
        return must_lead

    def succeed(self, result: Result) -> None:
        self._results.append(result)
        self._finish()

    def fail(self, error: Exception) -> None:
        self._error = error
        self._finish()

    def outcome(self) -> Result:
        if self._error is not None:
            raise self._error
        return self._results[0]

    def _finish(self) -> None:
        self.is_done = True
        self._woken.set()


def _fail(batch: "Sequence[_Waiting[Item, Result]]", error: Exception) -> None:
    for waiting in batch:
        waiting.fail(error)
