"""How much longer something takes that counts: `images read: 600 of 2000`."""

import re
import time
from collections.abc import Callable

_COUNTED = re.compile(r"(\d+) of (\d+)")


class StepPace:
    """Learns from a step's messages how fast it is.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.begin("")

    def begin(self, step: str) -> None:
        """Forget all; another step begins."""
        self.step = step
        self._began = self._counted_at = self._clock()
        self._done = 0

    def left_s(self, message: str) -> float | None:
        """Seconds until the step has done all; None while it has counted nothing."""
        counted = _COUNTED.search(message)
        if counted is None:
            return None
        done, total = int(counted[1]), int(counted[2])
        if done != self._done:
            self._done, self._counted_at = done, self._clock()
        if not done:
            return None
        needed = (self._counted_at - self._began) * (total / done)
        return max(0.0, self._began + needed - self._clock())
