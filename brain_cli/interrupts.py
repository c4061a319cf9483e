"""Ctrl-C and the signals that ask a process to end, so that whatever was started is stopped in order."""

import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SHELL_OFFSET = 128
_AGAIN_S = 0.05
"""Until a signal whose exception was lost is sent again: by then Python has left the place that lost it."""


class StopRequested(KeyboardInterrupt):
    """Someone asked for an orderly end.

    Whoever catches it within `stop_on_signals` and goes on says that it is `heard`; it counts as lost otherwise.

    Attributes:
        number: the signal.
    """

    def __init__(self, number: int, on_lost: Callable[[int], None]) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number
        self._until_lost = weakref.finalize(self, on_lost, number)
        self._until_lost.atexit = False

    @property
    def exit_code(self) -> int:
        """What a shell expects of a program that a signal ended: 130 after Ctrl-C, 143 after SIGTERM."""
        return _SHELL_OFFSET + self.number

    def heard(self) -> None:
        """The end that it asks for has begun."""
        self._until_lost.detach()


@contextmanager
def stop_on_signals(on_repeat: Callable[[], None]) -> Iterator[None]:
    """Turn the first signal into `StopRequested`; later ones only call `on_repeat`, so that nothing is left behind.

    A signal that was ignored from the start (`nohup`, `&` in a script) stays ignored, but an ignored SIGINT is not
    handed down to what is started meanwhile. For the main thread only.

    A signal's exception comes up wherever Python is just then, also where it is dropped: in `__del__`, in a callback
    of the garbage collector, in a library that catches everything ("Note on Signal Handlers and Exceptions" in
    https://docs.python.org/3/library/signal.html). A stop that was asked for must not be lost, so a signal whose
    exception is gone and was not `heard` is sent once more.
    """
    is_stopping = is_over = False
    timers: list[threading.Timer] = []

    def receive(number: int, _frame: FrameType | None) -> None:
        nonlocal is_stopping
        if is_stopping:
            on_repeat()
            return
        is_stopping = True
        raise StopRequested(number, send_again)

    def send_again(number: int) -> None:
        nonlocal is_stopping
        if not is_over:
            is_stopping = False
            timers.append(_sent_later(number))

    with _received_by(receive), _dropped_in_silence():
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # Dagster's code server treats SIGTERM as it found SIGINT: it could only be killed.
            signal.signal(signal.SIGINT, _ignore)
        try:
            yield
        finally:
            is_over = True
            for timer in timers:
                timer.cancel()


@contextmanager
def _received_by(receive: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Meanwhile the signals that are not ignored call `receive`."""
    former = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number, handler in former.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, receive)
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def _dropped_in_silence() -> Iterator[None]:
    """Python prints exceptions that it drops; meanwhile not a `StopRequested`, which comes again."""

    def look(dropped: "sys.UnraisableHookArgs") -> None:
        if not isinstance(dropped.exc_value, StopRequested):
            former(dropped)

    former, sys.unraisablehook = sys.unraisablehook, look
    try:
        yield
    finally:
        sys.unraisablehook = former


@contextmanager
def held_back() -> Iterator[None]:
    """Deliver signals that arrive meanwhile only at the end: for what must not be left half-done.

    In a thread that is not the main one it does nothing, since no signal arrives there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    try:
        with _received_by(lambda number, _frame: arrived.append(number)):
            yield
    finally:
        for late in arrived:
            signal.raise_signal(late)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Unlike SIG_IGN, a handler is not inherited."""


def _sent_later(number: int) -> threading.Timer:
    timer = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()
    return timer
