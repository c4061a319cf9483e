import itertools
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from brain_cli.cores import WAITING_FOR_EACH_THREAD, in_order
from brain_cli.interrupts import StopRequested, stop_on_signals


def test_results_come_in_order_although_the_first_takes_longest():
    def slow_first(number: int) -> int:
        time.sleep(0.05 if number == 0 else 0)
        return number

    assert list(in_order(slow_first, range(20), threads=3)) == list(range(20))


def test_items_are_taken_only_as_they_are_needed():
    taken = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    results = in_order(lambda number: number, items(), threads=2)
    assert next(results) == 0
    results.close()
    assert len(taken) == 2 * WAITING_FOR_EACH_THREAD


def test_an_error_is_raised_and_what_has_not_begun_is_dropped():
    done = []

    def fail_at_once(number: int) -> None:
        if number == 0:
            raise ValueError("the first one")
        time.sleep(0.01)
        done.append(number)

    with pytest.raises(ValueError, match="the first one"):
        list(in_order(fail_at_once, range(100), threads=1))
    assert len(done) < 100


def test_no_thread_is_left_when_the_caller_stops():
    results = in_order(lambda number: number, range(100), threads=2)
    next(results)
    results.close()
    assert [thread for thread in threading.enumerate() if thread.name.startswith("image")] == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("moment", range(0, 40, 3))
def test_a_signal_in_the_middle_of_the_pools_code_does_not_lock_it(monkeypatch, moment):
    entered = itertools.count()
    enter = threading.Condition.__enter__

    def enter_and_be_interrupted(condition: threading.Condition) -> bool:
        is_taken = enter(condition)
        if threading.get_ident() == threading.main_thread().ident and next(entered) == moment:
            signal.raise_signal(signal.SIGINT)
        return is_taken

    monkeypatch.setattr(threading.Condition, "__enter__", enter_and_be_interrupted)
    with pytest.raises(StopRequested), stop_on_signals(lambda: None):
        for _ in in_order(lambda number: number, range(1_000_000), threads=2):
            pass
    assert [thread for thread in threading.enumerate() if thread.name.startswith("image")] == []
