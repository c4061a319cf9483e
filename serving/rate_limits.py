"""How often each API key may be used: one allowance for all worker processes of a server.

The generic cell rate algorithm, which is a token bucket that needs one number: the time at which the bucket would be
full again. The numbers lie in memory that the workers share, so that a request costs microseconds and no database.
"""

import fcntl
import mmap
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import UUID

BURST_S = 10.0
"""A key that rested may send so many seconds' worth of requests at once."""

KEYS = 4096
"""So many keys are counted at a time; those that rested make room."""

_FILE = "rates"
_ROUNDING_S = 1e-6
_SLOT = struct.Struct("16sd")


class RateLimiter:
    """Counts requests by key; call it from one thread of each process.

    Args:
        folder: where the workers of one server meet; None for a server of one process. Times in it are those of the
            machine's monotonic clock: empty it before the server starts.
        clock: seconds that only rise, the same for all processes.
    """

    def __init__(self, folder: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._places: dict[UUID, int] = {}
        self._file = _opened(folder / _FILE) if folder else None
        self._memory = mmap.mmap(self._file.fileno() if self._file else -1, KEYS * _SLOT.size)

    def wait_s(self, key_id: UUID, rate_per_minute: int) -> float:
        """0 when the key may be used now, and then it counts as used; else the seconds until it may be."""
        interval = 60 / rate_per_minute
        with self._alone():
            now = self._clock()
            place, full_at = self._find(key_id, now)
            wait = full_at - now + interval - max(interval, BURST_S)
            if wait > _ROUNDING_S:
                return wait
            _SLOT.pack_into(self._memory, place, key_id.bytes, full_at + interval)
            return 0.0

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()
        if self._file:
            self._file.close()

    def _find(self, key_id: UUID, now: float) -> tuple[int, float]:
        """Place of a key in the memory, and when its bucket is full: now, for one that rested."""
        place = self._places.get(key_id)
        if place is None or _SLOT.unpack_from(self._memory, place)[0] != key_id.bytes:
            place = self._places[key_id] = self._place_for(key_id)
        owner, full_at = _SLOT.unpack_from(self._memory, place)
        return place, max(full_at, now) if owner == key_id.bytes else now

    def _place_for(self, key_id: UUID) -> int:
        rested, first_full = 0, float("inf")
        for place in range(0, KEYS * _SLOT.size, _SLOT.size):
            owner, full_at = _SLOT.unpack_from(self._memory, place)
            if owner == key_id.bytes:
                return place
            if full_at < first_full:
                rested, first_full = place, full_at
        return rested

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._file is None:
            yield
            return
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def _opened(path: Path) -> IO[bytes]:
    file = path.open("a+b")
    file.truncate(KEYS * _SLOT.size)
    return file
