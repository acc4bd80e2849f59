"""The known name that somebody probably meant, as configuration writes it: without quotes."""

from collections.abc import Iterable

from scheduler.core.nearest import nearest

__all__ = ["did_you_mean", "nearest"]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"; did you mean x?"``, or nothing where no known name is near."""
    near = nearest(word, known)
    return f"; did you mean {near}?" if near else ""
