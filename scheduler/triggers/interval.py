"""Steps of fixed length, counted from an anchor that all instances share; never from anybody's start.

``interval`` steps by the clock, ``calendar_interval`` by the calendar: at one time of the day, passing over dates that do not exist.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import count
from typing import Any

from scheduler.triggers.errors import TriggerError, whole
from scheduler.triggers.trigger import Source
from scheduler.triggers.wallclock import Pattern, day_number
from scheduler.triggers.zones import LAST_YEAR

UNITS = {"weeks": 604_800_000, "days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1_000}
STEPS = ("years", "months", "weeks", "days")
CLOCK = ("hour", "minute", "second")
_LONGEST_MS = 36_525 * 86_400_000
_MONTH_DAYS = 30.436875  # the mean of the Gregorian calendar


@dataclass(frozen=True, slots=True)
class Interval(Source):
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
    step = round(sum(_amount(value, unit) * UNITS[unit] for unit, value in args.items()))
    if 1 <= step <= _LONGEST_MS:
        return Interval(anchor, step)
    raise TriggerError(f"interval {dict(args)} must last from 1 ms to 100 years: write one or more of {', '.join(UNITS)}", *list(args)[:1])


def _amount(value: object, unit: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value < 10**12:
        return value
    raise TriggerError(f"{unit} {value!r} must be a number of {unit}, such as 5 or 0.5", unit)


@dataclass(frozen=True, slots=True)
class _Calendar:
    """The k-th day is ``anchor`` plus k times ``months`` (on the anchor's day of the month), plus k times ``days``."""

    anchor: date
    months: int
    days: int

    def __call__(self, first: int, last: int) -> Iterator[int]:
        # Months stray from their mean by days, so two steps back are enough.
        near = int((first - day_number(self.anchor)) / (self.months * _MONTH_DAYS + self.days)) - 2
        for index in count(max(0, near)):
            years, month = divmod(self.anchor.month - 1 + index * self.months, 12)
            if self.anchor.year + years > LAST_YEAR:
                return
            try:
                day = day_number(self.anchor.replace(self.anchor.year + years, month + 1)) + index * self.days
            except ValueError:  # such as 30 February
                continue
            if day > last:
                return
            if day >= first:
                yield day


def calendar_interval(args: Mapping[str, Any], anchor: date) -> Pattern:
    """From ``years``, ``months``, ``weeks``, ``days`` (at least one day together) and ``hour``, ``minute``, ``second`` on the wall."""
    years, months, weeks, days = (whole(args.get(name, 0), name, 0, 10_000) for name in STEPS)
    hour, minute, second = (whole(args.get(name, 0), name, 0, 23 if name == "hour" else 59) for name in CLOCK)
    if not years + months + weeks + days:
        raise TriggerError("calendar_interval needs one or more of years, months, weeks, days; for shorter steps use interval")
    return Pattern(_Calendar(anchor, years * 12 + months, weeks * 7 + days), (hour,), ((minute * 60 + second) * 1000,))
