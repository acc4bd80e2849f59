"""What every kind of trigger takes: its zone, its first and last date, its DST policy, jitter and a bound on its runs."""

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from scheduler.core.units import duration_ms
from scheduler.triggers.errors import TriggerError, check_choice, whole
from scheduler.triggers.wallclock import Dst, WallClock, at
from scheduler.triggers.zones import DAY, LAST_YEAR, zone_of

OPTIONS = ("timezone", "start_date", "end_date", "jitter", "max_runs", "dst")
_DST = {"gap": ("shift", "skip"), "fold": ("first", "last", "both")}
_FOREVER = 2**62
_EVENING = time(23, 59, 59, 999_000)
_USUAL = Dst()


class Options(NamedTuple):
    """The options, read. ``start_ms`` is 0, the zero of UTC time, where no ``start_date`` was given."""

    zone: ZoneInfo
    dst: Dst
    start_ms: int
    end_ms: int
    jitter_ms: int
    max_runs: int | None

    @property
    def first_day(self) -> date:
        """The local date of the start; 1 January 1970 without one."""
        return datetime.fromtimestamp(self.start_ms / 1000, self.zone).date() if self.start_ms else date(1970, 1, 1)


def read_options(args: Mapping[str, Any], timezone: str, dst: Dst) -> Options:
    """The options among ``args``; ``timezone`` and ``dst`` hold where they name none."""
    zone = zone_of(args.get("timezone", timezone))
    start = _instant(args["start_date"], "start_date", zone) if "start_date" in args else 0
    end = _end(args["end_date"], zone) if "end_date" in args else _FOREVER
    if end < start:
        raise TriggerError(f"end_date {str(args['end_date'])!r} lies before the start: the trigger never fires", "end_date")
    max_runs = whole(args["max_runs"], "max_runs", 1, 10**12) if "max_runs" in args else None
    return Options(zone, _dst(args["dst"]) if "dst" in args else dst, start, end, _jitter(args.get("jitter", 0)), max_runs)


def moment_of(value: object, name: str, zone: ZoneInfo, dst: Dst, clock: time = time.min) -> WallClock:
    """An ISO datetime, or date at ``clock``: in ``zone`` under its DST policy, unless the text carries an offset of its own."""
    moment = _parse(value, name, clock)
    if 1970 <= moment.year < LAST_YEAR:
        return at(moment, zone, dst)
    raise TriggerError(f"{name} {str(value)!r} must lie in the years 1970 to {LAST_YEAR - 1}", name)


def _end(value: object, zone: ZoneInfo) -> int:
    """The last instant: a bare date is meant as a whole, and a year that people write for "never" is never."""
    if _parse(value, "end_date").year >= LAST_YEAR:
        return _FOREVER
    return _instant(value, "end_date", zone, _EVENING, Dst(fold="last"))


def _instant(value: object, name: str, zone: ZoneInfo, clock: time = time.min, dst: Dst = _USUAL) -> int:
    instant = moment_of(value, name, zone, dst, clock).next(-2 * DAY)
    if instant is None:
        raise TriggerError(f"{name} {str(value)!r} does not exist in {zone.key}: that day was left out there", name)
    return instant


def _parse(value: object, name: str, clock: time = time.min) -> datetime:
    """The datetime, naive where the text has no offset; a bare date is one at ``clock``."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, clock)
    try:
        text = value.strip()  # type: ignore[attr-defined]  # what is no text raises AttributeError
        return datetime.combine(date.fromisoformat(text), clock) if len(text) <= len("2026-W01-1") else datetime.fromisoformat(text)
    except (ValueError, AttributeError):
        example = '"2026-12-25", "2026-12-25 10:00:00" or "2026-12-25T10:00:00+08:00"'
        raise TriggerError(f"{name} {value!r} is not an ISO date or time: write {example}", name) from None


def _jitter(value: object) -> int:
    try:
        return duration_ms(value)
    except ValueError as error:
        raise TriggerError(f"jitter {error}", "jitter") from None


def _dst(value: object) -> Dst:
    if not isinstance(value, Mapping):
        raise TriggerError(f"dst {value!r} must be a mapping such as {{gap: shift, fold: first}}", "dst")
    chosen = {}
    for key, choice in value.items():
        allowed = _DST[check_choice("dst", key, _DST, "dst")]
        chosen[key] = check_choice(f"dst.{key}", choice, allowed, "dst", key)
    return Dst(**chosen)
