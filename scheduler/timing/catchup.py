"""Which due instants of a schedule run, and what is said of the others: misfire, coalesce and catch-up as one pure function."""

from typing import NamedTuple

from scheduler.core.task import Schedule
from scheduler.timing.wiring import Due, FindDue, TimedTrigger

_MOST = 1000  # instants of one schedule in one step; what is left is due in the next


class Shot(NamedTuple):
    """One instant to be fired, as ``core.run.Fire`` describes it."""

    instant_ms: int
    previous_ms: int
    missed: int = 0
    missed_reason: str = ""
    make_run: bool = True


class Plan(NamedTuple):
    """The instants to fire, oldest first, and the one after them (None: never again). ``late``: older than the grace."""

    shots: list[Shot]
    next_ms: int | None
    late: bool = False


NOTHING = Plan([], None)


class Position(NamedTuple):
    """Where a schedule stands: everything up to ``last_ms`` is settled, ``next_ms`` comes next; it is known since ``since_ms``."""

    last_ms: int
    next_ms: int
    since_ms: int = 0


def plan(schedule: Schedule, trigger: TimedTrigger, at: Position, now_ms: int, due: FindDue) -> Plan:
    """What to fire of a schedule whose next instant has come. Work and result are bounded, however long the absence was."""
    in_time = now_ms - at.next_ms <= schedule.misfire_grace_ms
    if at.next_ms <= at.last_ms:  # a date that lay in the past when the schedule was made, changed or resumed
        runs = in_time and at.next_ms < at.since_ms
        return Plan([Shot(at.next_ms, 0) if runs else Shot(at.next_ms, 0, 1, "passed", make_run=False)], None)
    if in_time:
        return _in_time(schedule, trigger, at, now_ms, due)
    if schedule.misfire == "skip":
        return _skipped(schedule, trigger, at, now_ms, due)
    most = schedule.catch_up_max if schedule.misfire == "run_all" else 1
    return _newest(due(trigger, at.last_ms, now_ms, most), at.last_ms, "misfired", late=True)


def paused(trigger: TimedTrigger, from_ms: int, until_ms: int, due: FindDue) -> Shot | None:
    """The word about the instants of a schedule that was paused from one moment until another; None where there were none."""
    found = due(trigger, from_ms, until_ms, 1)
    return Shot(found.instants[0], from_ms, found.missed + 1, "paused", make_run=False) if found.instants else None


def _in_time(schedule: Schedule, trigger: TimedTrigger, at: Position, now_ms: int, due: FindDue) -> Plan:
    following = trigger.next(at.next_ms)
    if following is None or following > now_ms:
        return Plan([Shot(at.next_ms, at.last_ms)], following)
    if schedule.coalesce:
        return _newest(due(trigger, at.last_ms, now_ms, 1), at.last_ms, "coalesced")
    shots = [Shot(at.next_ms, at.last_ms)]
    while following is not None and following <= now_ms and len(shots) < _MOST:
        shots.append(Shot(following, shots[-1].instant_ms))
        following = trigger.next(following)
    return Plan(shots, following)


def _skipped(schedule: Schedule, trigger: TimedTrigger, at: Position, now_ms: int, due: FindDue) -> Plan:
    """What is older than the grace is only recorded; what is within it runs."""
    found = due(trigger, at.last_ms, now_ms - schedule.misfire_grace_ms - 1, 1)
    newest = found.instants[-1]
    record = Shot(newest, 0 if found.missed else at.last_ms, found.missed + 1, "misfired", make_run=False)
    if found.next_ms is None or found.next_ms > now_ms:
        return Plan([record], found.next_ms)
    rest = _in_time(schedule, trigger, Position(newest, found.next_ms), now_ms, due)
    return Plan([record, *rest.shots], rest.next_ms)


def _newest(found: Due, last_ms: int, reason: str, *, late: bool = False) -> Plan:
    """The listed instants run; those that are not listed are told of with the first."""
    first, *others = found.instants
    shots = [Shot(first, 0, found.missed, reason) if found.missed else Shot(first, last_ms)]
    for instant in others:
        shots.append(Shot(instant, shots[-1].instant_ms))
    return Plan(shots, found.next_ms, late)
