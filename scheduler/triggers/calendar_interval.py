"""Every so many calendar months and days at one time of the day; dates that do not exist, such as 30 February, are passed over."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from scheduler.triggers.errors import TriggerError, whole
from scheduler.triggers.zones import DAY, LAST_YEAR

FIELDS = ("years", "months", "weeks", "days", "hour", "minute", "second")
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MONTH_DAYS = 30.436875  # the mean of the Gregorian calendar


@dataclass(frozen=True, slots=True)
class CalendarSteps:
    """The k-th date is ``anchor`` plus k times ``months`` (on the anchor's day of the month), plus k times ``days``."""

    anchor: date
    months: int
    days: int
    time: int  # milliseconds after local midnight
    follows: bool = False

    def seek(self, local: int) -> int | None:
        return next(self.times(local, LAST_YEAR * 366 * DAY), None)

    def times(self, start: int, end: int) -> Iterator[int]:
        index = self._index_near(start)
        while (month := self.anchor.month - 1 + index * self.months) // 12 + self.anchor.year <= LAST_YEAR:
            local = self._local(month, index)
            index += 1
            if local is None or local < start:
                continue
            if local >= end:
                return
            yield local

    def _local(self, month: int, index: int) -> int | None:
        try:
            moved = self.anchor.replace(year=self.anchor.year + month // 12, month=month % 12 + 1)
        except ValueError:
            return None
        return (moved.toordinal() + index * self.days - _EPOCH_DAY) * DAY + self.time

    def _index_near(self, local: int) -> int:
        """An index at or below the first one at or after ``local``: months stray from their mean by days, so two steps are enough."""
        passed = local / DAY - (self.anchor.toordinal() - _EPOCH_DAY)
        return max(0, int(passed / (self.months * _MONTH_DAYS + self.days)) - 2)


def calendar_interval(args: Mapping[str, Any], anchor: date) -> CalendarSteps:
    """From ``years``, ``months``, ``weeks``, ``days`` (at least one day together) and ``hour``, ``minute``, ``second`` on the wall."""
    years, months, weeks, days = (whole(args.get(name, 0), name, 0, 10_000) for name in FIELDS[:4])
    hour, minute, second = (whole(args.get(name, 0), name, 0, 23 if name == "hour" else 59) for name in FIELDS[4:])
    if not years + months + weeks + days:
        raise TriggerError("calendar_interval needs one or more of years, months, weeks, days; for shorter steps use interval")
    return CalendarSteps(anchor, years * 12 + months, weeks * 7 + days, (hour * 3600 + minute * 60 + second) * 1000)
