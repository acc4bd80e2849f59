"""The policy for daylight saving time: how times on the wall become instants.

A pattern says which local times it means; this module says when these are, segment of constant offset by segment:

- A pattern that *follows* the clock's hands (an hourly cron, every two hours) fires at each instant whose local reading
  matches: on both passes of a repeated hour, and not for readings that a forward jump leaves out.
- Any other pattern means each local time once. One that a jump leaves out fires at the first instant after the gap
  (``gap: shift``) or not (``skip``); one that comes twice fires on the ``first`` pass, the ``last``, or ``both``.
- A local day that a zone left out as a whole (Apia, 30 December 2011) has no fire, as 30 February has none.

Each segment yields increasing instants of its own, so instants increase strictly, and none has a reading that never was.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from scheduler.triggers.trigger import Source
from scheduler.triggers.zones import DAY, EPOCH_DAY, HOUR, LAST_YEAR, Segment, milliseconds, segments

_LAST_DAY = milliseconds(datetime(LAST_YEAR, 12, 31)) // DAY  # noqa: DTZ001 -- a local day


class Dst(NamedTuple):
    """What becomes of local times that do not exist (``gap``: shift, skip) and that come twice (``fold``: first, last, both)."""

    gap: str = "shift"
    fold: str = "first"


@dataclass(frozen=True, slots=True)
class Pattern:
    """Local times: on some days, in each of ``hours`` at each of ``moments`` (milliseconds after the hour), both increasing.

    ``days(first, last)`` gives the days from ``first`` to ``last``, counted from 1970, and ends early where it is clear that
    there are no more. ``follows``: it fires at every matching reading, whatever the clock does.
    """

    days: Callable[[int, int], Iterator[int]]
    hours: tuple[int, ...]
    moments: tuple[int, ...]
    follows: bool = False

    def times(self, start: int, end: int) -> Iterator[int]:
        """The local times with ``start`` ≤ time < ``end``."""
        for day in self.days(start // DAY, (end - 1) // DAY):
            for hour in self.hours[bisect_left(self.hours, start // HOUR - 24 * day) :]:
                begin = (24 * day + hour) * HOUR
                for place in range(bisect_left(self.moments, start - begin), len(self.moments)):
                    if begin + self.moments[place] >= end:
                        return
                    yield begin + self.moments[place]


@dataclass(frozen=True, slots=True)
class WallClock(Source):
    """A pattern in a zone."""

    pattern: Pattern
    zone: ZoneInfo
    dst: Dst

    def instants(self, after_ms: int) -> Iterator[int]:
        """All instants after ``after_ms``, year by year; years without a day of the pattern are leapt over."""
        after = after_ms
        while (year := datetime.fromtimestamp((after + 1) // 1000, UTC).year) <= LAST_YEAR:
            for segment in segments(self.zone, year):
                if segment.end > after + 1:
                    yield from self._within(segment, after)
            after = segment.end - 1
            # No zone is a whole day away from UTC: a day's margin covers offsets and repeated hours.
            day = next(self.pattern.days(after // DAY, _LAST_DAY), None)
            if day is None:
                return
            after = max(after, (day - 1) * DAY)

    def _within(self, segment: Segment, after: int) -> Iterator[int]:
        start, end = segment.start + segment.offset, segment.end + segment.offset
        if not self.pattern.follows:
            if segment.start > after and self._gap_fires(segment):
                yield segment.start
                after = segment.start
            if self.dst.fold == "first":
                start = max(start, segment.start + segment.before)
            elif self.dst.fold == "last":
                end = min(end, segment.end + segment.after)
        for local in self.pattern.times(max(start, after + 1 + segment.offset), end):
            yield local - segment.offset

    def _gap_fires(self, segment: Segment) -> bool:
        """Whether the jump that opens this segment left out a time of the pattern, though not its whole day."""
        if self.dst.gap == "skip" or not 0 < segment.offset - segment.before < DAY:
            return False
        return any(True for _ in self.pattern.times(segment.start + segment.before, segment.start + segment.offset))


def at(moment: datetime, zone: ZoneInfo, dst: Dst) -> WallClock:
    """The single instant of an aware datetime, or of a naive one in ``zone``: none or two where a clock changes."""
    local = milliseconds(moment)
    day, rest = divmod(local, DAY)
    pattern = Pattern(lambda first, last: iter([day] if first <= day <= last else []), (rest // HOUR,), (rest % HOUR,))
    return WallClock(pattern, ZoneInfo("UTC") if moment.tzinfo else zone, dst)


def day_number(day: date) -> int:
    """Days since 1970."""
    return day.toordinal() - EPOCH_DAY
