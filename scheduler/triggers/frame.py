"""What every kind of trigger takes: its zone, its first and last date, its DST policy, jitter and a bound on its runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

from scheduler.core.units import duration_ms
from scheduler.triggers.dates import FOREVER, end_of, start_of
from scheduler.triggers.errors import TriggerError, check_choice, whole
from scheduler.triggers.wallclock import Dst
from scheduler.triggers.zones import zone_of

OPTIONS = ("timezone", "start_date", "end_date", "jitter", "max_runs", "dst")
_DST = {"gap": ("shift", "skip"), "fold": ("first", "last", "both")}


@dataclass(frozen=True, slots=True)
class Frame:
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


def read_frame(args: Mapping[str, Any], timezone: str) -> Frame:
    """The options among ``args``, in the zone they name or else in ``timezone``."""
    zone = zone_of(args.get("timezone", timezone))
    start = start_of(args["start_date"], zone) if "start_date" in args else 0
    end = end_of(args["end_date"], zone) if "end_date" in args else FOREVER
    if end < start:
        raise TriggerError(f"end_date {str(args['end_date'])!r} lies before the start: the trigger never fires", "end_date")
    max_runs = whole(args["max_runs"], "max_runs", 1, 10**12) if "max_runs" in args else None
    return Frame(zone, _dst(args.get("dst", {})), start, end, _jitter(args.get("jitter", 0)), max_runs)


def _jitter(value: object) -> int:
    try:
        return duration_ms(value)
    except ValueError as error:
        raise TriggerError(f"jitter {error}", "jitter") from None


def _dst(value: object) -> Dst:
    if not isinstance(value, Mapping):
        raise TriggerError(f"dst {value!r} must be a mapping such as {{gap: shift, fold: first}}", "dst")
    chosen = {
        check_choice("dst", key, _DST, "dst"): check_choice(f"dst.{key}", choice, _DST[key], "dst", key) for key, choice in value.items()
    }
    return Dst(**cast("Any", chosen))
