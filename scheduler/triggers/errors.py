"""The one error of this package, and the checks that several kinds of trigger share."""

from collections.abc import Iterable

from scheduler.core.nearest import did_you_mean


class TriggerError(ValueError):
    """A trigger that cannot be built, or whose computation failed.

    ``key`` is the path of the wrong value inside ``args``, such as ``("dst", "gap")``; empty when the trigger as a whole is wrong.
    """

    def __init__(self, message: str, *key: str | int) -> None:
        super().__init__(message)
        self.key = key


def check_choice(what: str, value: object, allowed: Iterable[str], *key: str | int) -> str:
    """``value`` if it is one of ``allowed``; else a TriggerError at ``key`` that lists them."""
    names = list(allowed)
    if isinstance(value, str) and value in names:
        return value
    raise TriggerError(f"{what} {value!r} is not known: allowed are {', '.join(names)}{did_you_mean(value, names)}", *key)


def whole(value: object, name: str, low: int, high: int) -> int:
    """``value`` if it is a whole number from ``low`` to ``high``; else a TriggerError at ``name``."""
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise TriggerError(f"{name} {value!r} must be a whole number from {low} to {high}", name)
