"""How much time there is, and what fits into it."""

import math
import time
from collections.abc import Callable


class Budget:
    """Time that may be used, and the longest that an epoch and a start have taken in it."""

    def __init__(self, seconds: float = math.inf, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self.end = now() + seconds
        self.longest_epoch = 0.0
        self.longest_start = 0.0

    def allows_epoch(self) -> bool:
        """Is there time for one more epoch of every run that is going?"""
        return self.now() + 1.2 * self.longest_epoch < self.end

    def allows_run(self) -> bool:
        """Is there time to start a run and train it for an epoch?"""
        return self.now() + self.longest_start + 1.2 * self.longest_epoch < self.end
