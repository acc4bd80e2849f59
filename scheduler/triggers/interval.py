"""Every so many milliseconds, counted from an anchor that all instances share; never from anybody's start."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from scheduler.triggers.errors import TriggerError

UNITS = {"weeks": 604_800_000, "days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1_000}
_LONGEST_MS = 36_525 * 86_400_000


@dataclass(frozen=True, slots=True)
class Interval:
    """``anchor``, ``anchor + step``, …: plain arithmetic, blind to time zones."""

    anchor: int
    step: int

    def next(self, after_ms: int) -> int:
        if after_ms < self.anchor:
            return self.anchor
        return after_ms + self.step - (after_ms - self.anchor) % self.step

    def instants(self, after_ms: int) -> Iterator[int]:
        return count(self.next(after_ms), self.step)


def interval(args: Mapping[str, Any], anchor: int) -> Interval:
    """From ``weeks`` … ``seconds``, which add up; fractions are welcome down to one millisecond."""
    step = round(sum(_amount(args[unit], unit) * size for unit, size in UNITS.items() if unit in args))
    if 1 <= step <= _LONGEST_MS:
        return Interval(anchor, step)
    given = {unit: args[unit] for unit in UNITS if unit in args}
    raise TriggerError(f"interval {given} must last from 1 ms to 100 years: write one or more of {', '.join(UNITS)}", *list(given)[:1])


def _amount(value: object, unit: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value < 10**12:
        return value
    raise TriggerError(f"{unit} {value!r} must be a number of {unit}, such as 5 or 0.5", unit)
