"""Cron: the local times whose fields all match.

Which crons follow the clock's hands through a change to or from daylight saving time is told by the **hour** field: one that
begins with ``*`` (``*``, ``*/2``) or lists all 24 hours stands for "every so often", and fires at each matching reading. With any
other hour field, each listed time is meant once per local day, whatever the minutes say. Vixie cron and cronsim draw the line
alike, except that they also let ``*/10 2 * * *`` follow: a jump from 2 to 3 o'clock then loses that day's work. Here it
fires once, after the jump, and a repeated hour does the work of one.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from scheduler.triggers.crontab import parse_expression
from scheduler.triggers.errors import TriggerError
from scheduler.triggers.fields import FIELDS, day_rule, numbers
from scheduler.triggers.zones import DAY

_EPOCH_DAY = date(1970, 1, 1).toordinal()
# The longest wait of any pattern of the calendar: 29 February on a given weekday, across a year such as 2100.
_HORIZON_DAYS = 40 * 366


@dataclass(frozen=True, slots=True)
class Cron:
    """``years`` is empty for every year; ``matches`` judges days of a right month; ``seconds`` are those of an hour that match."""

    years: tuple[int, ...]
    months: tuple[int, ...]
    matches: Callable[[date], bool]
    hours: tuple[int, ...]
    seconds: tuple[int, ...]
    follows: bool

    def seek(self, local: int) -> int | None:
        start = self._enter_year(local // DAY)
        day = None if start is None else next(self._days(start, start + _HORIZON_DAYS), None)
        return None if day is None else day * DAY

    def times(self, start: int, end: int) -> Iterator[int]:
        first, second = divmod(-(-start // 1000), DAY // 1000)
        for day in self._days(first, (end - 1) // DAY):
            for found in self._day_seconds(second if day == first else 0):
                local = day * DAY + found * 1000
                if local >= end:
                    return
                yield local

    def _days(self, start: int, last: int) -> Iterator[int]:
        """The matching days, counted from 1970, with ``start`` ≤ day ≤ ``last``."""
        day = self._enter_year(start)
        while day is not None and day <= last:
            moment = date.fromordinal(day + _EPOCH_DAY)
            if moment.month not in self.months:
                place = bisect_left(self.months, moment.month)
                year, place = moment.year + place // len(self.months), place % len(self.months)
                day = self._enter_year(date(year, self.months[place], 1).toordinal() - _EPOCH_DAY)
                continue
            if self.matches(moment):
                yield day
            day = self._enter_year(day + 1)

    def _enter_year(self, day: int) -> int | None:
        """``day`` itself when its year matches, else the first day of the next year that does."""
        if not self.years:
            return day
        year = date.fromordinal(day + _EPOCH_DAY).year
        place = bisect_left(self.years, year)
        if place == len(self.years):
            return None
        return day if self.years[place] == year else date(self.years[place], 1, 1).toordinal() - _EPOCH_DAY

    def _day_seconds(self, second: int) -> Iterator[int]:
        """The matching seconds of a day from ``second`` on."""
        first_hour, rest = divmod(second, 3600)
        for hour in self.hours[bisect_left(self.hours, first_hour) :]:
            for place in range(bisect_left(self.seconds, rest) if hour == first_hour else 0, len(self.seconds)):
                yield hour * 3600 + self.seconds[place]


def cron(args: Mapping[str, Any]) -> Cron:
    """From one ``expression``, or from APScheduler's fields, which must all match."""
    given = [name for name in FIELDS if name in args]
    if "expression" in args:
        if given:
            raise TriggerError(f"expression and {', '.join(given)} exclude each other: write one or the other", given[0])
        return _from_expression(args["expression"])
    if not given:
        raise TriggerError(f"cron needs an expression, or one or more of {', '.join(FIELDS)}")
    return _from_fields(field_texts(args))


def field_texts(args: Mapping[str, Any]) -> dict[str, str]:
    """The text of every field; as in APScheduler, what is finer than the finest given field is at its lowest, the rest is ``*``."""
    texts: dict[str, str] = {}
    finer = True
    for name, field in reversed(FIELDS.items()):
        finer = finer and name not in args
        texts[name] = _text(args[name], name) if name in args else field.default if finer else "*"
    return texts


def _text(value: object, name: str) -> str:
    if isinstance(value, int | str) and not isinstance(value, bool):
        return str(value).strip()
    raise TriggerError(f'{name} {value!r} must be a number or a text such as "*/5", "1-5" or "1,15"', name)


def _from_fields(texts: dict[str, str]) -> Cron:
    found = {name: numbers(name, texts[name]) for name in ("year", "month", "hour", "minute", "second")}
    years = () if texts["year"] == "*" else tuple(sorted(found["year"]))
    seconds = _hour_seconds(found["minute"], found["second"])
    return Cron(
        years, tuple(sorted(found["month"])), day_rule(texts), tuple(sorted(found["hour"])), seconds, _follows(texts["hour"], found["hour"])
    )


def _from_expression(text: object) -> Cron:
    parsed = parse_expression(text)
    seconds = _hour_seconds(frozenset(parsed.minutes), frozenset(parsed.seconds))
    follows = _follows(parsed.parts[2], parsed.hours)
    return Cron((), tuple(sorted(parsed.months)), parsed.match_day, tuple(sorted(parsed.hours)), seconds, follows)


def _follows(text: str, hours: Iterable[int]) -> bool:
    return text.startswith("*") or len(set(hours)) == 24


@lru_cache(maxsize=256)
def _hour_seconds(minutes: frozenset[int], seconds: frozenset[int]) -> tuple[int, ...]:
    """Shared among schedules: a cron that names every second has 3,600 of them."""
    return tuple(minute * 60 + second for minute in sorted(minutes) for second in sorted(seconds))
