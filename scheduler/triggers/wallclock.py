"""The policy for daylight saving time: how times on the wall become instants.

A pattern says which local times it means; this module says when these are, segment of constant offset by segment:

- A pattern that *follows* the clock's hands (an hourly cron, every two hours) fires at each instant whose local reading
  matches: on both passes of a repeated hour, and not for readings that a forward jump leaves out.
- Any other pattern means each local time once. One that a jump leaves out fires at the first instant after the gap
  (``gap: shift``) or not (``skip``); one that comes twice fires on the ``first`` pass, the ``last``, or ``both``.
- A local day that a zone left out as a whole (Apia, 30 December 2011) has no fire, as 30 February has none.

Each segment yields increasing instants of its own, so instants increase strictly, and none has a reading that never was.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol
from zoneinfo import ZoneInfo

from scheduler.triggers.zones import DAY, LAST_YEAR, Segment, segments, year_of


@dataclass(frozen=True, slots=True)
class Dst:
    """What becomes of local times that do not exist (``gap``) and of those that come twice (``fold``)."""

    gap: Literal["shift", "skip"] = "shift"
    fold: Literal["first", "last", "both"] = "first"


class Pattern(Protocol):
    """Local times, in local milliseconds."""

    @property
    def follows(self) -> bool:
        """Whether it fires at every matching reading, whatever the clock does."""

    def seek(self, local: int) -> int | None:
        """A time at or before the first match at or after ``local``, as late as is cheap to tell; None: nothing matches any more."""

    def times(self, start: int, end: int) -> Iterator[int]:
        """The matches with ``start`` ≤ time < ``end``, increasing."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The pattern of one single local time."""

    local: int
    follows: bool = False

    def seek(self, local: int) -> int | None:
        return self.local if local <= self.local else None

    def times(self, start: int, end: int) -> Iterator[int]:
        if start <= self.local < end:
            yield self.local


@dataclass(frozen=True, slots=True)
class WallClock:
    """A pattern in a zone."""

    pattern: Pattern
    zone: ZoneInfo
    dst: Dst = Dst()

    def next(self, after_ms: int) -> int | None:
        return next(self.instants(after_ms), None)

    def instants(self, after_ms: int) -> Iterator[int]:
        """All instants after ``after_ms``. No zone is a whole day away from UTC: a day's margin covers offsets and repeated hours."""
        after = after_ms
        while (local := self.pattern.seek(after - DAY)) is not None:
            after = max(after, local - DAY)
            if (year := year_of(after + 1)) > LAST_YEAR:
                return
            for segment in segments(self.zone, year):
                if segment.end > after + 1:
                    yield from self._within(segment, after)
            after = segment.end - 1

    def _within(self, segment: Segment, after: int) -> Iterator[int]:
        start, end = segment.start + segment.offset, segment.end + segment.offset
        if not self.pattern.follows:
            if self._gap_fires(segment) and segment.start > after:
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
        left_out = self.pattern.times(segment.start + segment.before, segment.start + segment.offset)
        return next(left_out, None) is not None
