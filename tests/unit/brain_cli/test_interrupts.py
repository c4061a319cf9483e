import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from brain_cli.interrupts import StopRequested, held_back, stop_on_signals


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_asks_for_an_orderly_end(number, code):
    with pytest.raises(StopRequested) as caught, stop_on_signals(lambda: None):
        send(number)
    assert caught.value.exit_code == code


@pytest.fixture
def _ignored_sigint():
    """As a shell starts what it puts into the background."""
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.usefixtures("_ignored_sigint")
def test_an_ignored_interrupt_stays_ignored_but_not_for_what_is_started():
    question = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    with stop_on_signals(lambda: None):
        send(signal.SIGINT)
        child = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=True)
    assert child.stdout == "True\n"
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_second_signal_does_not_disturb_the_end():
    repeats: list[str] = []
    with stop_on_signals(lambda: repeats.append("again")):
        with pytest.raises(StopRequested) as stop:
            send(signal.SIGINT)
        send(signal.SIGINT)
        send(signal.SIGTERM)
    assert stop.value.number == signal.SIGINT
    assert repeats == ["again", "again"]


class Interrupted:
    """Someone presses Ctrl-C just while it is thrown away, where Python drops exceptions."""

    def __del__(self):
        send(signal.SIGINT)


def test_a_signal_that_comes_where_python_drops_exceptions_is_not_lost():
    def wait() -> None:
        Interrupted()
        time.sleep(5)

    with pytest.raises(StopRequested), stop_on_signals(lambda: None):
        wait()


def test_a_signal_whose_exception_a_library_swallows_is_not_lost():
    def wait() -> None:
        with contextlib.suppress(BaseException):
            send(signal.SIGINT)
        time.sleep(5)

    with pytest.raises(StopRequested), stop_on_signals(lambda: None):
        wait()


def test_a_signal_that_was_heard_is_not_sent_again():
    with stop_on_signals(lambda: None):
        try:
            send(signal.SIGINT)
        except StopRequested as stop:
            stop.heard()
        time.sleep(0.3)


def test_a_signal_is_not_sent_again_to_what_comes_after_the_end():
    received: list[int] = []
    former = signal.signal(signal.SIGINT, lambda number, _frame: received.append(number))
    try:
        with contextlib.suppress(StopRequested), stop_on_signals(lambda: None):
            send(signal.SIGINT)
        with stop_on_signals(lambda: None), contextlib.suppress(StopRequested):
            send(signal.SIGINT)
        time.sleep(0.3)
    finally:
        signal.signal(signal.SIGINT, former)
    assert received == []


def test_other_dropped_exceptions_are_told_as_ever(monkeypatch):
    told: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: told.append(dropped.exc_type))

    class Broken:
        def __del__(self):
            raise ValueError

    with stop_on_signals(lambda: None):
        Broken()
    Broken()
    assert told == [ValueError, ValueError]


def test_the_former_handlers_come_back():
    former = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with stop_on_signals(lambda: None), held_back():
        assert signal.getsignal(signal.SIGTERM) not in former
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == former


def test_a_signal_waits_for_what_is_held_together():
    done: list[str] = []

    def work() -> None:
        with held_back():
            send(signal.SIGTERM)
            done.append("whole")
        done.append("never")

    with stop_on_signals(lambda: None), pytest.raises(StopRequested):
        work()
    assert done == ["whole"]


def test_a_signal_wins_over_an_error_that_it_caused():
    def work() -> None:
        with held_back():
            send(signal.SIGINT)
            raise ValueError("the child was interrupted too")

    with stop_on_signals(lambda: None), pytest.raises(StopRequested):
        work()


def test_another_thread_holds_nothing_back():
    seen: list[object] = []

    def work() -> None:
        with held_back():
            seen.append(signal.getsignal(signal.SIGTERM))

    former = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [former]


def test_a_signal_that_nohup_ignores_stays_ignored():
    code = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from brain_cli.interrupts import stop_on_signals\n"
        "with stop_on_signals(lambda: None):\n    os.kill(os.getpid(), signal.SIGHUP)\nprint('still here')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert result.stdout.strip() == "still here"
