"""Work spread over the machine's cores."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from brain_cli.interrupts import held_back

Item = TypeVar("Item")
Result = TypeVar("Result")

WAITING_FOR_EACH_THREAD = 4
"""Results that may wait for an earlier, slower one before a thread waits too."""


def in_order(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Generator[Result, None, None]:
    """Map in threads; the results come in the order of the items.

    Few items are in work at a time, however many there are. When the caller stops, or a call raises, what has not
    begun is dropped and what has begun is waited for. A signal that arrives meanwhile takes effect between two
    results.

    Args:
        function: called in the threads; what it raises is raised here.
        items: taken one by one, as threads become free.
        threads: how many.
    """
    executor = ThreadPoolExecutor(threads, thread_name_prefix="image")
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            # A signal's exception in the middle of the pool's own code would leave one of its locks taken for ever.
            with held_back():
                pending.append(executor.submit(function, item))
            if len(pending) >= threads * WAITING_FOR_EACH_THREAD:
                yield _first_of(pending)
        while pending:
            yield _first_of(pending)
    finally:
        with held_back():
            executor.shutdown(cancel_futures=True)


def _first_of(pending: deque[Future[Result]]) -> Result:
    with held_back():
        return pending.popleft().result()
