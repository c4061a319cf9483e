"""Several threads' writes in one transaction: one flush to the disk instead of one for each."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from brain_core.errors import BrainError

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_BATCH = 32
"""Most items of one transaction, so that a batch stays short beside a request."""


class GroupCommit(Generic[Item, Result]):
    """Hands what many threads write to one function, in batches.

    A thread that writes waits until its own item is committed. Whoever comes while a batch is under way joins the next
    one; nobody waits for others to come. There is no thread of its own: the first of those that wait does the work.

    Args:
        commit: writes a batch in one transaction and gives a result for each item, in order. When it raises a
            `BrainError` (the database is away), the whole batch fails with it. After any other error each item is
            written alone, so that one that cannot be written takes no other with it.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Result]]) -> None:
        self._commit = commit
        self._turn = threading.Lock()
        self._waiting: deque[_Waiting[Item, Result]] = deque()

    def write(self, item: Item) -> Result:
        """Write one item together with those that wait; it is committed when this returns."""
        mine: _Waiting[Item, Result] = _Waiting(item)
        self._waiting.append(mine)
        while not mine.is_done:
            with self._turn:
                if not mine.is_done:
                    self._write_batch()
        return mine.outcome()

    def _write_batch(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
        try:
            self._write_together(batch)
        except BrainError as exc:
            _fail(batch, exc)
        except Exception as exc:  # noqa: BLE001 - told to the thread whose item it was
            if len(batch) == 1:
                _fail(batch, exc)
            else:
                self._write_each_alone(batch)

    def _write_together(self, batch: "Sequence[_Waiting[Item, Result]]") -> None:
        results = self._commit([waiting.item for waiting in batch])
        for waiting, result in zip(batch, results, strict=True):
            waiting.succeed(result)

    def _write_each_alone(self, batch: "Sequence[_Waiting[Item, Result]]") -> None:
        for waiting in batch:
            try:
                self._write_together([waiting])
            except Exception as exc:  # noqa: BLE001 - told to the thread whose item it was
                _fail([waiting], exc)


class _Waiting(Generic[Item, Result]):
    """One item and what became of it."""

    def __init__(self, item: Item) -> None:
        self.item, self.is_done = item, False
        self._results: list[Result] = []
        self._error: Exception | None = None

    def succeed(self, result: Result) -> None:
        self._results.append(result)
        self.is_done = True

    def fail(self, error: Exception) -> None:
        self._error, self.is_done = error, True

    def outcome(self) -> Result:
        if self._error is not None:
            raise self._error
        return self._results[0]


def _fail(batch: "Sequence[_Waiting[Item, Result]]", error: Exception) -> None:
    for waiting in batch:
        waiting.fail(error)
