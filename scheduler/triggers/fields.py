"""The fields of a cron in APScheduler's manner (``hour: 9``, ``day: last fri``), read into sets of numbers and a rule for days.

Weekdays are names here: their numbers mean Monday = 0 to APScheduler and Sunday = 0 to crontab, and ``1-5`` written for
Monday to Friday fired from Tuesday to Saturday. A range of weekdays may run over the end of the week (``sat-mon``).
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from scheduler.triggers.errors import TriggerError, nearest

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_POSITIONS = {"1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5, "last": -1}
_TERM = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?", re.ASCII)


class Field(NamedTuple):
    """The numbers a field may hold, their names from the lowest on, and the text that stands where it is not given."""

    low: int
    high: int
    names: tuple[str, ...] = ()
    default: str = "*"


# From the most significant to the least: a field that is not given is ``*`` before the last given one, its default after.
FIELDS = {
    "year": Field(1970, 9899),
    "month": Field(1, 12, MONTHS, "1"),
    "day": Field(1, 31, (), "1"),
    "week": Field(1, 53),
    "day_of_week": Field(0, 6, WEEKDAYS),
    "hour": Field(0, 23, (), "0"),
    "minute": Field(0, 59, (), "0"),
    "second": Field(0, 59, (), "0"),
}


@dataclass(frozen=True, slots=True)
class DayRule:
    """Whether a day matches ``day``, ``week`` and ``day_of_week``, all three. ``positions``: (n-th or -1 for last, weekday)."""

    days: frozenset[int]
    positions: frozenset[tuple[int, int]]
    month_end: bool
    weeks: frozenset[int]
    weekdays: frozenset[int]

    def __call__(self, day: date) -> bool:
        return day.weekday() in self.weekdays and self._in_month(day) and (len(self.weeks) == 53 or day.isocalendar()[1] in self.weeks)

    def _in_month(self, day: date) -> bool:
        if day.day in self.days or (self.month_end and _leaves_month(day, 1)):
            return True
        weekday = day.weekday()
        return bool(self.positions) and (
            ((day.day + 6) // 7, weekday) in self.positions or ((-1, weekday) in self.positions and _leaves_month(day, 7))
        )


def day_rule(texts: dict[str, str]) -> DayRule:
    """The rule of the texts of ``day``, ``week`` and ``day_of_week``."""
    plain, positions, month_end = [], set(), False
    for term in _terms(texts["day"]):
        if term == "last":
            month_end = True
        elif " " in term:
            positions.add(_position(term))
        else:
            plain.append(term)
    days = numbers("day", ",".join(plain)) if plain else frozenset()
    return DayRule(days, frozenset(positions), month_end, numbers("week", texts["week"]), numbers("day_of_week", texts["day_of_week"]))


def numbers(name: str, text: str) -> frozenset[int]:
    """The numbers of one field's text: ``*``, ``a``, ``a-b``, names where it has them, each with ``/step``, joined by commas."""
    if name == "day_of_week" and re.search(r"\d", text):
        raise _numeric_weekday(text)
    return frozenset(number for term in _terms(text) for number in _expand(name, term))


def _terms(text: str) -> list[str]:
    return [" ".join(term.split()) for term in text.lower().split(",")]


def _expand(name: str, term: str) -> list[int]:
    field, match = FIELDS[name], _TERM.fullmatch(term)
    if not match:
        raise _wrong(name, term)
    first, last, step = match.groups()
    low = field.low if first == "*" else _number(name, first)
    high = _number(name, last) if last else field.high if first == "*" or step else low
    wraps = low > high and name == "day_of_week"
    if (low > high and not wraps) or (first == "*" and last):
        raise _wrong(name, term)
    span = [*range(low, field.high + 1), *range(field.low, high + 1)] if wraps else list(range(low, high + 1))
    if step and not 0 < int(step) < len(span):
        raise TriggerError(f"{name} {term!r}: the step must be from 1 to {len(span) - 1}; for longer steps use interval", name)
    return span[:: int(step or 1)]


def _number(name: str, text: str) -> int:
    field = FIELDS[name]
    if text in field.names:
        return field.names.index(text) + field.low
    if text.isdigit() and len(text) <= 4 and field.low <= int(text) <= field.high:
        return int(text)
    raise _wrong(name, text)


def _position(term: str) -> tuple[int, int]:
    place, _, weekday = term.partition(" ")
    if place in _POSITIONS and weekday in WEEKDAYS:
        return _POSITIONS[place], WEEKDAYS.index(weekday)
    raise _wrong("day", term)


def _wrong(name: str, term: str) -> TriggerError:
    field = FIELDS[name]
    extra = f", names {field.names[0]} to {field.names[-1]}" if field.names else ""
    extra += ', "last", "1st mon" to "5th sun", "last fri"' if name == "day" else ""
    numeric = f"numbers {field.low} to {field.high}" if name != "day_of_week" else "*"
    return TriggerError(
        f"{name} {term!r} is not understood: allowed are {numeric}{extra}, a-b, */n and lists{nearest(term, field.names)}", name
    )


def _numeric_weekday(text: str) -> TriggerError:
    """The refusal, with the names that crontab's reading of the numbers gives (0 and 7 are Sunday)."""
    named = re.sub(r"(?<![\d/])[0-7](?!\d)", lambda digit: WEEKDAYS[int(digit[0]) - 1], text)
    advice = "mon-fri or mon,wed" if re.search(r"\d", named) else named
    return TriggerError(
        f"day_of_week {text!r} is ambiguous, as crontab counts weekdays from Sunday and APScheduler from Monday: write names, {advice!r}",
        "day_of_week",
    )


def _leaves_month(day: date, days: int) -> bool:
    return (day + timedelta(days)).month != day.month
