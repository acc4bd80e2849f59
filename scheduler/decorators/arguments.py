"""Checks of what a decorator was given: each error names the decorator, the argument, the value and what is allowed."""

from collections.abc import Iterable

from scheduler.core.nearest import did_you_mean
from scheduler.core.units import duration_ms


def whole_number(place: str, value: object) -> int:
    """``value``, an int from 1; ValueError else."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{place}: {value!r} is not a whole number from 1{parentheses(place, value)}")
    return value


def number(place: str, value: object, most: float = float("inf")) -> float:
    """``value``, a number from 0 to ``most``; ValueError else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        bound = "" if most == float("inf") else f" to {most:g}"
        raise ValueError(f"{place}: {value!r} is not a number from 0{bound}{parentheses(place, value)}")
    return value


def milliseconds(place: str, value: object, least: int = 0) -> int:
    """Milliseconds of a duration in seconds or a text such as ``"5m"``, at least ``least``; ValueError else."""
    try:
        ms = duration_ms(value)
    except ValueError as error:
        raise ValueError(f"{place}: {error}{parentheses(place, value)}") from None
    if ms < least:
        raise ValueError(f"{place}: {value!r} is too short, at least {least / 1000:g} seconds are needed")
    return ms


def one_of(place: str, value: object, allowed: tuple[str, ...]) -> None:
    """ValueError when ``value`` is none of the ``allowed`` words."""
    if value not in allowed:
        raise ValueError(f"{place}: {value!r} is none of {', '.join(allowed)}{did_you_mean(value, allowed)}")


def error_names(place: str, errors: Iterable[type[BaseException] | str]) -> list[str]:
    """The class names of exception classes or names; TypeError for anything else."""
    names = []
    for error in [errors] if isinstance(errors, str | type) else errors:
        if isinstance(error, str) and error:
            names.append(error.rpartition(".")[2])
        elif isinstance(error, type) and issubclass(error, BaseException):
            names.append(error.__name__)
        else:
            raise TypeError(f"{place}: {error!r} is neither an exception class nor the name of one")
    return names


def parentheses(place: str, value: object) -> str:
    """The advice for ``@retry`` without parentheses, which makes the function its first argument."""
    return f"; write @{place.partition(':')[0]}(…) with parentheses" if callable(value) else ""
