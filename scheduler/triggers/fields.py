"""The fields of a cron, read into sets of numbers: those of APScheduler's manner (``hour: 9``), and those of a crontab line.

In ``day_of_week`` weekdays are names: their numbers mean Monday = 0 to APScheduler and Sunday = 0 to crontab, and ``1-5`` written
for Monday to Friday fired from Tuesday to Saturday. A range of names may run over the end of the week (``sat-mon``).
"""

import re
from typing import NamedTuple

from scheduler.core.nearest import did_you_mean
from scheduler.triggers.errors import TriggerError

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TERM = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d{1,4}))?", re.ASCII)


class Field(NamedTuple):
    """The numbers a field may hold, their names from the lowest on, and the text that stands where it is not given.

    ``special`` matches terms that are no numbers, and ``example`` shows some; whoever reads the days knows what they mean.
    """

    low: int
    high: int
    names: tuple[str, ...] = ()
    default: str = "*"
    special: str = ""
    example: str = ""


# From the most significant to the least: a field that is not given is ``*`` before the last given one, its default after.
FIELDS = {
    "year": Field(1970, 9899),
    "month": Field(1, 12, MONTHS, "1"),
    "day": Field(1, 31, (), "1", rf"last|(1st|2nd|3rd|4th|5th|last) ({'|'.join(WEEKDAYS)})", '"last", "1st mon" to "5th sun", "last fri"'),
    "week": Field(1, 53),
    "day_of_week": Field(0, 6, WEEKDAYS),
    "hour": Field(0, 23, (), "0"),
    "minute": Field(0, 59, (), "0"),
    "second": Field(0, 59, (), "0"),
}
CRONTAB = {
    "second": FIELDS["second"],
    "minute": FIELDS["minute"],
    "hour": FIELDS["hour"],
    "day-of-month": Field(1, 31, special="lw?", example="L, LW"),
    "month": FIELDS["month"],
    "day-of-week": Field(0, 7, (WEEKDAYS[6], *WEEKDAYS[:6]), special=rf"[0-7]l|([0-7]|{'|'.join(WEEKDAYS)})#[1-5]", example="5L, MON#1"),
}


def terms(text: str) -> list[str]:
    return [" ".join(term.split()) for term in text.lower().split(",")]


def numbers(name: str, field: Field, text: str) -> tuple[int, ...]:
    """The numbers of one field's text, sorted: ``*``, ``a``, ``a-b``, names where it has them, each with ``/step``, and lists."""
    if name == "day_of_week" and re.search(r"\d", text):
        raise _numeric_weekday(text)
    plain = [term for term in terms(text) if not (field.special and re.fullmatch(field.special, term))]
    return tuple(sorted({number for term in plain for number in _expand(name, field, term)}))


def _expand(name: str, field: Field, term: str) -> list[int]:
    match = _TERM.fullmatch(term)
    if not match:
        raise _wrong(name, field, term)
    first, last, step = match.groups()
    low = _number(name, field, first) if first else field.low
    high = _number(name, field, last) if last else field.high if step or not first else low
    span = list(range(low, high + 1))
    if not span and name == "day_of_week":
        span = [*range(low, field.high + 1), *range(field.low, high + 1)]
    if not span:
        raise _wrong(name, field, term)
    if step and not 0 < int(step) <= field.high - field.low:
        raise TriggerError(f"{name} {term!r}: the step must be from 1 to {field.high - field.low}; for longer steps use interval", name)
    return span[:: int(step or 1)]


def _number(name: str, field: Field, text: str) -> int:
    if text in field.names:
        return field.names.index(text) + field.low
    if text.isdigit() and len(text) <= 4 and field.low <= int(text) <= field.high:
        return int(text)
    raise _wrong(name, field, text)


def _wrong(name: str, field: Field, term: str) -> TriggerError:
    spans = [] if name == "day_of_week" else [f"{field.low}-{field.high}"]
    spans += [f"{field.names[0]}-{field.names[-1]}"] if field.names else []
    allowed = ", ".join([*spans, *filter(None, [field.example]), "*", "a-b", "*/n"])
    return TriggerError(f"{name} {term!r} is not understood: allowed are {allowed} and lists{did_you_mean(term, field.names)}", name)


def _numeric_weekday(text: str) -> TriggerError:
    """The refusal, with the names that crontab's reading of the numbers gives (0 and 7 are Sunday)."""
    named = re.sub(r"(?<![\d/])[0-7](?!\d)", lambda digit: WEEKDAYS[int(digit[0]) - 1], text)
    advice = "mon-fri or mon,wed" if re.search(r"\d", named) else named
    return TriggerError(
        f"day_of_week {text!r} is ambiguous, as crontab counts weekdays from Sunday and APScheduler from Monday: write names, {advice!r}",
        "day_of_week",
    )
