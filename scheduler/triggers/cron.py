"""Cron: the local times whose fields all match, from a crontab line (read by cronsim) or from APScheduler's fields.

Which crons follow the clock's hands through a change to or from daylight saving time is told by the **hour** field: one that
begins with ``*`` (``*``, ``*/2``) or lists all 24 hours stands for "every so often", and fires at each matching reading. With any
other hour field, each listed time is meant once per local day, whatever the minutes say. Vixie cron and cronsim draw the line
alike, except that they also let ``*/10 2 * * *`` follow: a jump from 2 to 3 o'clock then loses that day's work. Here it
fires once, after the jump, and a repeated hour does the work of one.
"""

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from cronsim import CronSim, CronSimError

from scheduler.triggers.errors import TriggerError
from scheduler.triggers.fields import CRONTAB, FIELDS, WEEKDAYS, terms
from scheduler.triggers.wallclock import Pattern, day_number
from scheduler.triggers.zones import EPOCH, EPOCH_DAY, LAST_YEAR

_LONGEST = 200
_EVERY_YEAR = range(1969, LAST_YEAR + 1)
_HORIZON_YEARS = 41  # the longest wait of any pattern of the calendar: 29 February on a given weekday, across a year such as 2100
_PLACES = {"1st": "#1", "2nd": "#2", "3rd": "#3", "4th": "#4", "5th": "#5", "last": "L"}
_ANY = EPOCH.replace(tzinfo=None)  # cronsim wants a start, of which judging days makes no use


@dataclass(frozen=True, slots=True)
class _Days:
    """The days of ``years`` and ``months`` that match."""

    years: Sequence[int]
    months: tuple[int, ...]
    matches: Callable[[date], bool]

    def __call__(self, first: int, last: int) -> Iterator[int]:
        place = bisect_left(self.years, date.fromordinal(first + EPOCH_DAY).year)
        for year in self.years[place : place + _HORIZON_YEARS]:
            for month in self.months:
                days = _month(year, month)
                if days.start > last:
                    return
                if days.stop <= first:
                    continue
                for day in range(max(first, days.start), min(last + 1, days.stop)):
                    if self.matches(date.fromordinal(day + EPOCH_DAY)):
                        yield day


@lru_cache(maxsize=2048)
def _month(year: int, month: int) -> range:
    """The days of a month, counted from 1970."""
    first = day_number(date(year, month, 1))
    return range(first, first + monthrange(year, month)[1])


def cron(args: Mapping[str, Any]) -> Pattern:
    """From one ``expression``, or from APScheduler's fields, which must all match."""
    given = [name for name in FIELDS if name in args]
    if "expression" not in args:
        if given:
            return _from_fields(field_texts(args))
        raise TriggerError(f"cron needs an expression, or one or more of {', '.join(FIELDS)}")
    if given:
        raise TriggerError(f"expression and {', '.join(given)} exclude each other: write one or the other", given[0])
    return _from_expression(args["expression"])


def field_texts(args: Mapping[str, Any]) -> dict[str, str]:
    """The text of every field; as in APScheduler, what is finer than the finest given field is at its lowest, the rest is ``*``."""
    texts: dict[str, str] = {}
    finer = True
    for name, field in reversed(FIELDS.items()):
        finer = finer and name not in args
        texts[name] = _text(args[name], name) if name in args else field.default if finer else "*"
    return texts


def crontab_day(text: str) -> tuple[list[str], list[str]]:
    """The field ``day`` in crontab's words: days of the month, and places of weekdays in the month; one of the two must fit."""
    days, places = [], []
    for term in terms(text):
        place, _, weekday = term.partition(" ")
        if weekday:
            places.append(f"{(WEEKDAYS.index(weekday) + 1) % 7}{_PLACES[place]}")
        else:
            days.append(term.replace("last", "L"))
    return days, places


def _text(value: object, name: str) -> str:
    if isinstance(value, int | str) and not isinstance(value, bool):
        return str(value).strip()
    raise TriggerError(f'{name} {value!r} must be a number or a text such as "*/5", "1-5" or "1,15"', name)


def _from_fields(texts: Mapping[str, str]) -> Pattern:
    years = _EVERY_YEAR if texts["year"] == "*" else FIELDS["year"].numbers(texts["year"])
    month, _, week, weekdays, hour, minute, second = (field.numbers(texts[name]) for name, field in FIELDS.items() if name != "year")
    weeks = frozenset(week)
    days, places = (",".join(words) for words in crontab_day(texts["day"]))
    in_month = CronSim(f"0 0 {days.replace('*', '1-31') or '*'} * {places or '*'}", _ANY).match_day

    def matches(day: date) -> bool:
        return day.weekday() in weekdays and (len(weeks) == 53 or day.isocalendar().week in weeks) and in_month(day)

    return Pattern(_Days(years, month, matches), hour, _moments(minute, second), _follows(texts["hour"], hour))


def _from_expression(text: object) -> Pattern:
    parts = text.lower().split() if isinstance(text, str) and len(text) <= _LONGEST else []
    if len(parts) not in {5, 6}:
        shape = "minute hour day month weekday, or six fields with seconds first"
        raise TriggerError(f'expression {str(text)[:_LONGEST]!r} needs five fields ({shape}), such as "0 9 * * mon-fri"', "expression")
    parts = ["0", *parts][-6:]
    try:
        second, minute, hour, _, month, _ = (field.numbers(part) for field, part in zip(CRONTAB, parts, strict=True))
        matches = CronSim(" ".join(parts), _ANY).match_day
    except TriggerError as error:
        raise TriggerError(f"expression {text!r}: {error}", "expression") from None
    except CronSimError:
        raise TriggerError(f"expression {text!r} never fires: its months have no such day", "expression") from None
    return Pattern(_Days(_EVERY_YEAR, month, matches), hour, _moments(minute, second), _follows(parts[2], hour))


def _follows(text: str, hours: tuple[int, ...]) -> bool:
    return text.startswith("*") or len(hours) == 24


@lru_cache(maxsize=256)
def _moments(minutes: tuple[int, ...], seconds: tuple[int, ...]) -> tuple[int, ...]:
    """The milliseconds after the hour; shared among schedules, as a cron that names every second has 3,600 of them."""
    return tuple((minute * 60 + second) * 1000 for minute in minutes for second in seconds)
