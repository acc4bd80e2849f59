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

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    default: str = "*"
    special: str = "(?!)"  # matches nothing
    example: str = ""

    def numbers(self, text: str) -> tuple[int, ...]:
        """The numbers of the field's text, sorted: ``*``, ``a``, ``a-b``, names where it has them, each with ``/step``, and lists."""
        if self.name == "day_of_week" and re.search(r"\d", text):
            raise _numeric_weekday(text)
        plain = [term for term in terms(text) if not re.fullmatch(self.special, term)]
        return tuple(sorted({number for term in plain for number in self._expand(term)}))

    def _expand(self, term: str) -> list[int]:
        match = _TERM.fullmatch(term)
        if not match:
            raise self._wrong(term)
        first, last, step = match.groups()
        low = self._number(first) if first else self.low
        high = self._number(last) if last else self.high if step or not first else low
        span = list(range(low, high + 1))
        if not span and self.name == "day_of_week":
            span = [*range(low, self.high + 1), *range(self.low, high + 1)]
        if not span:
            raise self._wrong(term)
        longest = self.high - self.low
        if step and not 0 < int(step) <= longest:
            raise TriggerError(f"{self.name} {term!r}: the step must be from 1 to {longest}; for longer steps use interval", self.name)
        return span[:: int(step or 1)]

    def _number(self, text: str) -> int:
        if text in self.names:
            return self.names.index(text) + self.low
        if text.isdigit() and len(text) <= 4 and self.low <= int(text) <= self.high:
            return int(text)
        raise self._wrong(text)

    def _wrong(self, term: str) -> TriggerError:
        span = "" if self.name == "day_of_week" else f"{self.low}-{self.high}"
        names = f"{self.names[0]}-{self.names[-1]}" if self.names else ""
        allowed = ", ".join(filter(None, [span, names, self.example, "*", "a-b", "*/n"]))
        hint = did_you_mean(term, self.names)
        return TriggerError(f"{self.name} {term!r} is not understood: allowed are {allowed} and lists{hint}", self.name)


def terms(text: str) -> list[str]:
    return [" ".join(term.split()) for term in text.lower().split(",")]


def _numeric_weekday(text: str) -> TriggerError:
    """The refusal, with the names that crontab's reading of the numbers gives (0 and 7 are Sunday)."""
    named = re.sub(r"(?<![\d/])[0-7](?!\d)", lambda digit: WEEKDAYS[int(digit[0]) - 1], text)
    advice = "mon-fri or mon,wed" if re.search(r"\d", named) else named
    return TriggerError(
        f"day_of_week {text!r} is ambiguous, as crontab counts weekdays from Sunday and APScheduler from Monday: write names, {advice!r}",
        "day_of_week",
    )


_DAYS = "|".join(WEEKDAYS)
# From the most significant to the least: a field that is not given is ``*`` before the last given one, its default after.
FIELDS = {
    field.name: field
    for field in (
        Field("year", 1970, 9899),
        Field("month", 1, 12, MONTHS, "1"),
        Field("day", 1, 31, (), "1", rf"last|(1st|2nd|3rd|4th|5th|last) ({_DAYS})", '"last", "1st mon" to "5th sun", "last fri"'),
        Field("week", 1, 53),
        Field("day_of_week", 0, 6, WEEKDAYS),
        Field("hour", 0, 23, (), "0"),
        Field("minute", 0, 59, (), "0"),
        Field("second", 0, 59, (), "0"),
    )
}
CRONTAB = (
    FIELDS["second"],
    FIELDS["minute"],
    FIELDS["hour"],
    Field("day-of-month", 1, 31, special="lw?", example="L, LW"),
    FIELDS["month"],
    Field("day-of-week", 0, 7, (WEEKDAYS[6], *WEEKDAYS[:6]), special=rf"[0-7]l|([0-7]|{_DAYS})#[1-5]", example="5L, MON#1"),
)
