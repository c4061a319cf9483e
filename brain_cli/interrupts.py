"""Ctrl-C and the signals that ask a process to end, so that whatever was started is stopped in order."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SHELL_OFFSET = 128
_AGAIN_S = 0.05
"""Until a signal whose exception was lost is sent again: by then Python has left the place that lost it."""


class StopRequested(KeyboardInterrupt):
    """Someone asked for an orderly end.

    Attributes:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell expects of a program that a signal ended: 130 after Ctrl-C, 143 after SIGTERM."""
        return _SHELL_OFFSET + self.number


@contextmanager
def stop_on_signals(on_repeat: Callable[[], None]) -> Iterator[None]:
    """Turn the first signal into `StopRequested`; later ones only call `on_repeat`, so that nothing is left behind.

    A signal that was ignored from the start (`nohup`, `&` in a script) stays ignored, but an ignored SIGINT is not
    handed down to what is started meanwhile. For the main thread only.

    Where Python drops the exception, the signal is sent once more.
    """
    is_stopping = False

    def receive(number: int, _frame: FrameType | None) -> None:
        nonlocal is_stopping
        if is_stopping:
            on_repeat()
            return
        is_stopping = True
        _raise(number)

    def forget() -> None:
        nonlocal is_stopping
        is_stopping = False

    with _received_by(receive), _sent_again_where_dropped(forget):
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # Dagster's code server treats SIGTERM as it found SIGINT: it could only be killed.
            signal.signal(signal.SIGINT, _ignore)
        yield


@contextmanager
def _received_by(receive: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Meanwhile the signals that are not ignored call `receive`."""
    former = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in former.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, receive)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def _sent_again_where_dropped(on_dropped: Callable[[], None]) -> Iterator[None]:
    """Send a signal again whose `StopRequested` came up in `__del__` or a callback of the garbage collector.

    Python drops exceptions there, and a stop that was asked for must not be lost: "Note on Signal Handlers and
    Exceptions" in https://docs.python.org/3/library/signal.html.
    """
    timers: list[threading.Timer] = []

    def look(dropped: "sys.UnraisableHookArgs") -> None:
        if isinstance(dropped.exc_value, StopRequested):
            on_dropped()
            timers.append(_sent_later(dropped.exc_value.number))
        else:
            former(dropped)

    former, sys.unraisablehook = sys.unraisablehook, look
    try:
        yield
    finally:
        sys.unraisablehook = former
        for timer in timers:
            timer.cancel()


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


def _raise(number: int) -> NoReturn:
    raise StopRequested(number)
