"""The only module that reads a clock or sleeps; everybody else is given one, so that tests can step it."""

import time
from typing import Protocol


class Clock(Protocol):
    """What the timed parts need of a clock."""

    def now_ms(self) -> int:
        """Wall clock, milliseconds since 1970 UTC: for display and file names only."""

    def monotonic(self) -> float:
        """Seconds on a clock that never steps: for deadlines, waits and beliefs."""


class SystemClock:
    """The machine's own clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


monotonic = time.monotonic
perf_counter = time.perf_counter
sleep = time.sleep


def now_ms() -> int:
    """Wall clock of this machine, milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000
