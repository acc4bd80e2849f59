"""Which instants of a trigger fell between the last fire and now: bounded work, however long the absence."""

from collections import deque
from itertools import takewhile
from typing import NamedTuple

from scheduler.core.ports import Trigger
from scheduler.triggers.trigger import BuiltTrigger, Grid, instants_after

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
    if now_ms <= last_ms:
        return Due((), 0, trigger.next(now_ms))
    if isinstance(trigger, BuiltTrigger) and (grid := trigger.grid):
        return _on_grid(grid, last_ms, now_ms, limit)
    return _walked(trigger, last_ms, now_ms, limit)


def _on_grid(grid: Grid, last_ms: int, now_ms: int, limit: int) -> Due:
    oldest = max(0, (last_ms - grid.first) // grid.step + 1)
    newest = (min(now_ms, grid.last) - grid.first) // grid.step
    total = max(0, newest - oldest + 1)
    listed = range(newest - min(total, limit) + 1, newest + 1)
    following = grid.first + max(0, (now_ms - grid.first) // grid.step + 1) * grid.step
    instants = tuple(grid.first + index * grid.step for index in listed)
    return Due(instants, total - len(instants), following if following <= grid.last else None)


def _walked(trigger: Trigger, last_ms: int, now_ms: int, limit: int) -> Due:
    newest, total = deque[int](maxlen=limit), 0
    for instant in instants_after(trigger, last_ms):
        if instant > now_ms:
            return Due(tuple(newest), total - len(newest), instant)
        if total == MAX_STEPS:
            return _from_behind(trigger, newest, instant - 1, now_ms)
        newest.append(instant)
        total += 1
    return Due(tuple(newest), total - len(newest), None)


def _from_behind(trigger: Trigger, newest: deque[int], walked_ms: int, now_ms: int) -> Due:
    """Look back from now in windows that double, down to ``walked_ms``, up to where ``MAX_STEPS`` are counted and ``newest`` reaches."""
    window = _FIRST_WINDOW_MS
    while True:
        start = max(walked_ms, now_ms - window)
        found, count = deque[int](maxlen=newest.maxlen), 0
        for instant in takewhile(now_ms.__ge__, instants_after(trigger, start)):
            found.append(instant)
            count += 1
        if start == walked_ms:
            newest.extend(found)
            return Due(tuple(newest), MAX_STEPS + count - len(newest), trigger.next(now_ms))
        if count >= (newest.maxlen or 0):
            return Due(tuple(found), MAX_STEPS + count - len(found), trigger.next(now_ms), at_least=True)
        window *= 2
