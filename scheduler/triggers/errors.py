"""The one error of this package, and the words that help its reader."""

from collections.abc import Iterable
from difflib import get_close_matches


class TriggerError(ValueError):
    """A trigger that cannot be built, or whose computation failed.

    ``key`` is the path of the wrong value inside ``args``, such as ``("dst", "gap")``; empty when the trigger as a whole is wrong.
    """

    def __init__(self, message: str, *key: str | int) -> None:
        super().__init__(message)
        self.key = key

    def within(self, *path: str | int) -> "TriggerError":
        """The same error, seen from a trigger that holds the wrong one at ``path``."""
        return TriggerError(str(self), *path, *self.key)


def nearest(word: object, known: Iterable[str]) -> str:
    """``", did you mean 'x'?"``, or nothing where no known word is near."""
    by_lower = {name.lower(): name for name in known}
    found = get_close_matches(str(word).lower(), by_lower, n=1)
    return f", did you mean {by_lower[found[0]]!r}?" if found else ""


def check_choice(what: str, value: object, allowed: Iterable[str], *key: str | int) -> str:
    """``value`` if it is one of ``allowed``; else a TriggerError at ``key`` that lists them."""
    names = list(allowed)
    if isinstance(value, str) and value in names:
        return value
    raise TriggerError(f"{what} {value!r} is not known: allowed are {', '.join(names)}{nearest(value, names)}", *key)


def whole(value: object, name: str, low: int, high: int) -> int:
    """``value`` if it is a whole number from ``low`` to ``high``; else a TriggerError at ``name``."""
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise TriggerError(f"{name} {value!r} must be a whole number from {low} to {high}", name)
