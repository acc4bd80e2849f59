"""Time zones cut into stretches of constant offset: the only place that asks the zone data.

All times here are whole milliseconds: ``utc`` since 1970 UTC, ``local`` the same count read off a clock on the wall.
"""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from scheduler.core.nearest import did_you_mean
from scheduler.triggers.errors import TriggerError

HOUR = 3_600_000
DAY = 24 * HOUR
LAST_YEAR = 9900  # nothing fires after it: room to add days without leaving what datetime can hold
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DAY = EPOCH.toordinal()

# Probes for a change of offset lie so far apart. The closest pair of changes that cancel each other, in any zone since
# 1970, is 6.96 days apart (Recife 2000, Gaza 2040), so no pair hides between two probes.
_PROBE_SECONDS = 4 * 86_400


class Segment(NamedTuple):
    """``start`` ≤ utc < ``end`` with local = utc + ``offset``; ``before`` and ``after`` are the offsets of its neighbours."""

    start: int
    end: int
    offset: int
    before: int
    after: int


def zone_of(name: object) -> ZoneInfo:
    """The zone of an IANA name; a TriggerError at ``timezone`` otherwise."""
    try:
        return ZoneInfo(name)  # type: ignore[arg-type]  # what is no text raises one of the errors below
    except (ValueError, TypeError, AttributeError, OSError, LookupError) as error:
        hint = did_you_mean(name, available_timezones())
        raise TriggerError(f"timezone {name!r} is not known: write an IANA name such as Asia/Shanghai{hint}", "timezone") from error


@lru_cache(maxsize=4096)
def segments(zone: ZoneInfo, year: int) -> tuple[Segment, ...]:
    """The segments of one UTC year, in order and without holes. The cuts at new year carry equal offsets on both sides."""
    first, last = (milliseconds(datetime(new_year, 1, 1, tzinfo=UTC)) // 1000 for new_year in (year, year + 1))
    edges = [first, *_changes(zone, first, last), last]
    before, *offsets = (_offset(zone, second) for second in (first - 1, *edges))
    return tuple(
        Segment(start * 1000, end * 1000, offset, earlier, later)
        for (start, end), earlier, (offset, later) in zip(pairwise(edges), [before, *offsets], pairwise(offsets), strict=False)
    )


def milliseconds(moment: datetime) -> int:
    """The UTC milliseconds of an aware datetime, the local ones of a naive one; fractions are cut off."""
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // timedelta(milliseconds=1)


def _offset(zone: ZoneInfo, second: int) -> int:
    return (datetime.fromtimestamp(second, zone).utcoffset() or timedelta()) // timedelta(milliseconds=1)


def _changes(zone: ZoneInfo, first: int, last: int) -> Iterator[int]:
    """The seconds in ``first`` < second < ``last`` from which a new offset holds."""
    for probe in range(first, last, _PROBE_SECONDS):
        stop, offset = min(probe + _PROBE_SECONDS, last - 1), _offset(zone, probe)
        if _offset(zone, stop) != offset:
            span = range(probe, stop)
            yield probe + bisect_left(span, True, key=lambda second, old=offset: _offset(zone, second) != old)  # type: ignore[misc]  # a lambda with a default
