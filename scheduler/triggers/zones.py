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

from scheduler.triggers.errors import TriggerError, nearest

DAY = 86_400_000
LAST_YEAR = 9900  # nothing fires after it: room to add days without leaving what datetime can hold
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- the zero of local time, naive on purpose

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
        hint = nearest(name, available_timezones())
        raise TriggerError(f"timezone {name!r} is not known: write an IANA name such as Asia/Shanghai{hint}", "timezone") from error


@lru_cache(maxsize=4096)
def segments(zone: ZoneInfo, year: int) -> tuple[Segment, ...]:
    """The segments of one UTC year, in order and without holes. The cuts at new year carry equal offsets on both sides."""
    first, last = _new_year(year), _new_year(year + 1)
    edges = [first, *_changes(zone, first, last), last]
    offsets = [_offset(zone, second) for second in (first - 1, *edges)]
    return tuple(
        Segment(start * 1000, end * 1000, offset, before, after)
        for (start, end), before, offset, after in zip(pairwise(edges), offsets, offsets[1:], offsets[2:], strict=False)
    )


def year_of(utc: int) -> int:
    return datetime.fromtimestamp(utc // 1000, UTC).year


def local_ms(moment: datetime) -> int:
    """A naive datetime as local milliseconds."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def utc_ms(moment: datetime) -> int:
    """An aware datetime as UTC milliseconds, fractions of one cut off."""
    return (moment - EPOCH.replace(tzinfo=UTC)) // timedelta(milliseconds=1)


def _new_year(year: int) -> int:
    return utc_ms(datetime(year, 1, 1, tzinfo=UTC)) // 1000


def _offset(zone: ZoneInfo, second: int) -> int:
    return (datetime.fromtimestamp(second, zone).utcoffset() or timedelta()) // timedelta(milliseconds=1)


def _changes(zone: ZoneInfo, first: int, last: int) -> Iterator[int]:
    """The seconds in ``first`` < second < ``last`` from which a new offset holds."""
    for probe in range(first, last, _PROBE_SECONDS):
        stop, offset = min(probe + _PROBE_SECONDS, last - 1), _offset(zone, probe)
        if _offset(zone, stop) != offset:
            span = range(probe, stop)
            yield probe + bisect_left(span, True, key=lambda second, old=offset: _offset(zone, second) != old)  # type: ignore[misc]  # a lambda with a default
