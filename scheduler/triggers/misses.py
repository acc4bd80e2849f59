"""Which instants of a trigger fell between the last fire and now: bounded work, however long the absence."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from typing import NamedTuple

from scheduler.core.ports import Trigger
from scheduler.triggers.interval import Interval
from scheduler.triggers.trigger import BuiltTrigger, instants_after

MAX_STEPS = 10_000
_FIRST_WINDOW_MS = 60_000


class Due(NamedTuple):
    """``instants``: the newest that are due, oldest first. ``missed``: how many earlier ones are not listed.

    ``at_least``: there were more than that, too many to count. ``next_ms``: the first instant after now (None: never again).
    """

    instants: tuple[int, ...]
    missed: int
    next_ms: int | None
    at_least: bool = False


def due(trigger: Trigger, last_ms: int, now_ms: int, limit: int) -> Due:
    """The newest ``limit`` instants in ``last_ms`` < instant ≤ ``now_ms``, and what is to be said of the others.

    Intervals are counted by arithmetic. Other triggers are walked for up to ``MAX_STEPS`` instants; when there are more, the
    newest are looked for from now backwards and the count is a lower bound.
    """
    found, unlisted, at_least = _found(trigger, last_ms, max(last_ms, now_ms), limit)
    listed = found[max(0, len(found) - limit) :]
    return Due(tuple(listed), unlisted + len(found) - len(listed), trigger.next(now_ms), at_least)


def _found(trigger: Trigger, last_ms: int, now_ms: int, limit: int) -> tuple[Sequence[int], int, bool]:
    """The instants found, the newest ``limit`` among them; how many came before them; whether that is a lower bound."""
    if isinstance(trigger, BuiltTrigger) and isinstance(trigger.source, Interval):
        grid = range(trigger.source.anchor, min(now_ms, trigger.end_ms) + 1, trigger.source.step)
        return grid[bisect_right(grid, last_ms) :], 0, False
    walked = list(islice(_until(trigger, last_ms, now_ms), MAX_STEPS + 1))
    if len(walked) <= MAX_STEPS:
        return walked, 0, False
    reached, window = walked[MAX_STEPS - 1], _FIRST_WINDOW_MS
    while now_ms - window > reached:
        recent = list(_until(trigger, now_ms - window, now_ms))
        if len(recent) >= limit:
            return recent, MAX_STEPS, True
        window *= 2
    return [*walked[:MAX_STEPS], *_until(trigger, reached, now_ms)], 0, False


def _until(trigger: Trigger, after_ms: int, now_ms: int) -> Iterator[int]:
    return takewhile(now_ms.__ge__, instants_after(trigger, after_ms))
