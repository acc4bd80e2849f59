"""The only judge: what becomes of a Run after an attempt. Pure; the worker and the rescuer of lost Runs both ask it."""

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from random import Random

from scheduler.core.backoff import Backoff
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.run import Strike
from scheduler.core.states import Reason, State
from scheduler.core.task import Task

MAX_STRIKES = 3  # a crash that is the third strike, losses of workers counted too, makes the Run poison
MAX_LOSSES = 10  # a lost worker is rarely the Run's fault; after two losses it runs in a fresh process, so a culprit crashes alone
_LOSS_BACKOFF = Backoff(interval_ms=1_000, strategy="exponential", max_delay_ms=60_000)


@dataclass(frozen=True, slots=True)
class History:
    """What a Run has been through: ``attempt`` is the one that just ended, the strikes are those of earlier ones."""

    attempt: int
    losses: int = 0  # how often its worker died
    crashes: int = 0  # how often it killed its own process


@dataclass(frozen=True, slots=True)
class Decision:
    """The next state. ``burn``: the attempt counts. ``strike``: what is held against the Run.

    ``close_lane_ms``: for so long no Run of its lane (the waiting Runs of one task, or task and key) is claimed.
    """

    state: State
    reason: str = ""
    delay_ms: int = 0
    burn: bool = True
    strike: Strike = ""
    close_lane_ms: int = 0


def decide(task: Task, history: History, outcome: Outcome, random: Random) -> Decision:
    """The next state of a Run of ``task`` whose attempt ended with ``outcome``."""
    match outcome.kind:
        case Kind.OK:
            return Decision(State.SUCCEEDED)
        case Kind.CANCELLED:
            return Decision(State.CANCELLED, outcome.reason or Reason.CANCELLED)
        case Kind.HANDED_BACK:
            return Decision(State.PENDING, outcome.reason or Reason.SHUTDOWN, burn=False)
        case Kind.GATED:
            return Decision(State.PENDING, outcome.reason, burn=False, close_lane_ms=outcome.retry_after_ms)
        case Kind.LOST:
            return _after_loss(history, random)
        case Kind.REFUSED:
            return Decision(State.FAILED, Reason.REFUSED)
        case _:
            return _after_failure(task, history, outcome, random)


def _after_loss(history: History, random: Random) -> Decision:
    """Losing a worker is no failure of the Run: it burns no attempt, and the first return is immediate."""
    if history.losses + 1 >= MAX_LOSSES:
        return Decision(State.DEAD, Reason.LOST, burn=False, strike="loss")
    delay_ms = _LOSS_BACKOFF.delay_ms(history.losses, random) if history.losses else 0
    return Decision(State.DELAYED if delay_ms else State.PENDING, Reason.LOST, delay_ms, burn=False, strike="loss")


def _after_failure(task: Task, history: History, outcome: Outcome, random: Random) -> Decision:
    reason = Reason(outcome.kind)  # every kind of failure is a reason of the same name
    strike: Strike = "crash" if outcome.kind is Kind.CRASHED else ""
    if strike and history.crashes + history.losses + 1 >= MAX_STRIKES:
        return Decision(State.DEAD, Reason.POISON, strike=strike)
    if outcome.error and gives_up({outcome.error.type, *outcome.error.bases}, task.retry_on, task.give_up_on):
        return Decision(State.FAILED, reason)
    if history.attempt < task.max_attempts:
        return Decision(State.DELAYED, reason, task.backoff.delay_ms(history.attempt, random), strike=strike)
    return Decision(State.DEAD if task.max_attempts > 1 else State.FAILED, reason, strike=strike)


def gives_up(names: AbstractSet[str], retry_on: Collection[str], give_up_on: Collection[str]) -> bool:
    """Whether an error whose class and base classes have these ``names`` is final.

    FatalError never retries, RetryableError always; then ``give_up_on``; then ``retry_on``, where empty means every error.
    """
    if "FatalError" in names:
        return True
    if "RetryableError" in names:
        return False
    if not names.isdisjoint(give_up_on):
        return True
    return bool(retry_on) and names.isdisjoint(retry_on)
