"""Crontab expressions, read by cronsim: five fields, or six with seconds first; weekdays 0 and 7 are Sunday."""

from datetime import datetime

from cronsim import CronSim, CronSimError

from scheduler.triggers.errors import TriggerError

# cronsim's name of a field → what it may hold, and the longest step that makes sense in it
_FIELDS = {
    "second": ("0-59", 59),
    "minute": ("0-59", 59),
    "hour": ("0-23", 23),
    "day-of-month": ("1-31, L, LW", 30),
    "month": ("1-12, JAN-DEC", 11),
    "day-of-week": ("0-7, SUN-SAT, 5L, MON#1", 6),
}
_LONGEST = 200
_ANY = datetime(2000, 1, 1)  # noqa: DTZ001 -- cronsim wants a start, of which parsing makes no use


def parse_expression(text: object) -> CronSim:
    """The parsed expression; a TriggerError at ``expression`` names the field that is wrong."""
    if not isinstance(text, str) or len(text) > _LONGEST or len(parts := text.split()) not in {5, 6}:
        shape = "minute hour day month weekday, or six fields with seconds first"
        raise TriggerError(f'expression {str(text)[:_LONGEST]!r} needs five fields ({shape}), such as "0 9 * * mon-fri"', "expression")
    try:
        parsed = CronSim(text, _ANY)
    except CronSimError as error:
        raise _wrong(text, parts, str(error).removeprefix("Bad ")) from error
    _check_steps(text, parsed.parts)
    return parsed


def _wrong(text: str, parts: list[str], name: str) -> TriggerError:
    if name == "day-of-month" and _is_fine(" ".join([*parts[:-2], "*", parts[-1]])):
        return TriggerError(f"expression {text!r} never fires: its months have no such day", "expression")
    value = parts[list(_FIELDS).index(name) - 6]
    return TriggerError(
        f"expression {text!r}: {name} {value!r} is not understood: allowed are {_FIELDS[name][0]}, a-b, */n and lists", "expression"
    )


def _is_fine(text: str) -> bool:
    try:
        CronSim(text, _ANY)
    except CronSimError:
        return False
    return True


def _check_steps(text: str, parts: list[str]) -> None:
    """``*/90`` in the minutes does not mean every 90 minutes, but every hour: crontab lets it pass, we do not."""
    for (name, (_, longest)), part in zip(_FIELDS.items(), parts, strict=True):
        for term in part.split(","):
            step = term.partition("/")[2]
            if step and int(step) > longest:
                raise TriggerError(
                    f"expression {text!r}: {name} {term!r}: the step must be from 1 to {longest}; for longer steps use interval",
                    "expression",
                )
