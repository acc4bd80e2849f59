"""Dates as people write them in a configuration, and the instants they mean in a zone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from scheduler.triggers.errors import TriggerError
from scheduler.triggers.wallclock import Dst, Moment, WallClock
from scheduler.triggers.zones import DAY, LAST_YEAR, local_ms, utc_ms

FOREVER = 2**62


def instants_of(value: object, name: str, zone: ZoneInfo, dst: Dst) -> tuple[int, ...]:
    """The instants of an ISO date or datetime: in ``zone`` under its DST policy, unless the text carries an offset of its own."""
    moment, _ = _parse(value, name)
    if not 1970 <= moment.year < LAST_YEAR:
        raise TriggerError(f"{name} {str(value)!r} must lie in the years 1970 to {LAST_YEAR - 1}", name)
    if moment.tzinfo:
        return (utc_ms(moment),)
    local = local_ms(moment)
    return tuple(WallClock(Moment(local), zone, dst).instants(local - 2 * DAY))


def start_of(value: object, zone: ZoneInfo) -> int:
    """The first instant of ``start_date``."""
    return _first(value, "start_date", zone)


def end_of(value: object, zone: ZoneInfo) -> int:
    """The last instant of ``end_date``, which a bare date includes as a whole; a year that people write for "never" is never."""
    moment, whole_day = _parse(value, "end_date")
    if moment.year >= LAST_YEAR:
        return FOREVER
    return _first(moment + timedelta(days=1), "end_date", zone) - 1 if whole_day else _first(value, "end_date", zone)


def _first(value: object, name: str, zone: ZoneInfo) -> int:
    found = instants_of(value, name, zone, Dst())
    if not found:
        raise TriggerError(f"{name} {str(value)!r} does not exist in {zone.key}: that day was left out there", name)
    return found[0]


def _parse(value: object, name: str) -> tuple[datetime, bool]:
    """The datetime, naive where the text has no offset, and whether it was a bare date."""
    if isinstance(value, datetime):
        return value, False
    if isinstance(value, date):
        return datetime.combine(value, time()), True
    try:
        text = value.strip()  # type: ignore[attr-defined]  # what is no text raises AttributeError
        return datetime.fromisoformat(text), len(text) <= len("2026-W01-1")
    except (ValueError, AttributeError):
        example = '"2026-12-25", "2026-12-25 10:00:00" or "2026-12-25T10:00:00+08:00"'
        raise TriggerError(f"{name} {value!r} is not an ISO date or time: write {example}", name) from None


@dataclass(frozen=True, slots=True)
class Once:
    """Instants known one by one: those of a single date."""

    moments: tuple[int, ...]

    def next(self, after_ms: int) -> int | None:
        return next(self.instants(after_ms), None)

    def instants(self, after_ms: int) -> Iterator[int]:
        return (instant for instant in self.moments if instant > after_ms)
