"""How long to wait before the next attempt: fixed, linear or exponential, capped, with jitter."""

from dataclasses import dataclass
from random import Random
from typing import Literal

Strategy = Literal["fixed", "linear", "exponential"]
Jitter = Literal["none", "full", "equal"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays in milliseconds. ``delay_ms(n)`` is the wait after the n-th failed attempt, n from 1."""

    interval_ms: int = 0
    strategy: Strategy = "fixed"
    multiplier: float = 2.0
    max_delay_ms: int = 3_600_000
    jitter: Jitter = "none"

    def base_ms(self, failed: int) -> int:
        """The delay before jitter; exponential 30 s × 2 gives 30, 60, 120, 240 s."""
        if self.strategy == "fixed":
            delay = float(self.interval_ms)
        elif self.strategy == "linear":
            delay = float(self.interval_ms) * failed
        else:
            # The exponent is bounded so that attempt 2,000 of an endless retry does not overflow a float.
            delay = self.interval_ms * self.multiplier ** min(failed - 1, 64)
        return round(min(delay, self.max_delay_ms))

    def delay_ms(self, failed: int, random: Random) -> int:
        """The delay with jitter: ``full`` draws from 0…base, ``equal`` from base/2…base (AWS, "Exponential Backoff and Jitter")."""
        base = self.base_ms(failed)
        if self.jitter == "full":
            return round(random.uniform(0, base))
        if self.jitter == "equal":
            return round(random.uniform(base / 2, base))
        return base
