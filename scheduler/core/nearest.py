"""The known name that somebody probably meant."""

from collections.abc import Iterable


def nearest(word: object, known: Iterable[str]) -> str:
    """The known name that ``word`` begins, or the one most like it, whatever the case; '' where none is near."""
    from difflib import get_close_matches  # only for the text of an error: every start would pay for it

    by_lower = {name.lower(): name for name in known}
    lower = str(word).lower()
    found = [name for name in by_lower if len(lower) >= 3 and name.startswith(lower)] or get_close_matches(lower, by_lower, 1)
    return by_lower[found[0]] if found else ""


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"``, or '' where no known name is near."""
    near = nearest(word, known)
    return f"; did you mean {near!r}?" if near else ""
