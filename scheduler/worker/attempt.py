"""One attempt as a pipeline over one value: prepare → enter layers → run in a slot → leave layers → decide → settle.

The steps are functions here. ``slots`` calls ``prepare``, ``enter`` and ``leave``; ``call`` runs the user's function in a thread (a process
and a coroutine have their own way: ``child``, ``aio``). ``loop`` asks for the ``settlement`` and sends it to the queue.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from random import Random
from typing import Any, Protocol

from scheduler.core.clock import monotonic, perf_counter
from scheduler.core.context import current_attempt
from scheduler.core.decide import History, decide
from scheduler.core.errors import GateClosedError
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.ports import Handle, Job
from scheduler.core.run import Claim, Settlement
from scheduler.core.states import Reason, State
from scheduler.core.task import Task
from scheduler.worker import context
from scheduler.worker.capture import gated, holds_against, outcome_of_exception, outcome_of_result

log = logging.getLogger("scheduler.worker")

FRESH_AFTER_LOSSES = 2  # a Run that lost two workers runs in a fresh process, so that only it can die of itself
NOT_READY_MS = 1_000  # until a layer that could not be entered is tried again


class Layer(Protocol):
    """What surrounds the user's function in an attempt: the GPU gate, the log lines (``decorators.layers``)."""

    def enter(self, job: Job) -> Job: ...

    def leave(self, job: Job, outcome: Outcome) -> None: ...


class Attempt:
    """A claimed Run on its way through a slot. ``why`` is set when it was told to stop: the outcome that then holds."""

    __slots__ = ("began", "claim", "deadline", "entered", "handle", "job", "over", "stop", "task", "thread", "told_at", "why")

    def __init__(self, claim: Claim, task: Task, job: Job) -> None:
        self.claim = claim
        self.task = task
        self.job = job
        self.stop = context.StopFlag()
        self.over = False  # its end was told: what its code still does is nobody's business
        self.why: Outcome | None = None
        self.told_at = 0.0
        self.thread = 0
        self.handle: Handle | None = None
        self.entered: list[Layer] = []
        self.began = perf_counter()
        self.deadline = monotonic() + task.timeout_ms / 1000 if task.timeout_ms is not None else None

    def tell(self, why: Outcome) -> None:
        """Ask the attempt to stop; the first reason given holds."""
        if self.why is None:
            self.why = why
            self.told_at = monotonic()
            self.stop.set()
            if self.handle is not None:
                self.handle.stop(why)


def prepare(claim: Claim, task: Task) -> Attempt:
    """The attempt with its parameters merged: the task's own, then those it was submitted with. ValueError where these are no JSON."""
    params = {**task.params, **json.loads(claim.params)} if claim.params else task.params
    fresh = task.isolation == "fresh" or task.gpu is not None or claim.losses >= FRESH_AFTER_LOSSES
    # Positional for speed: this is the hot path. The order is that of Job's fields.
    job = Job(
        claim.id,
        claim.task,
        task.target,
        params,
        claim.attempt,
        claim.token,
        claim.scheduled_ms,
        task.timeout_ms,
        task.memory_limit,
        fresh,
        {},
        task.log_runs,
        task.max_attempts,
    )
    return Attempt(claim, task, job)


def unstarted(claim: Claim, task: Task) -> Attempt:
    """The attempt of a claim that will not start: handed back, or refused for what it is."""
    return Attempt(claim, task, Job(claim.id, claim.task, task.target, {}, claim.attempt, claim.token, None, None, None, False, {}))


def enter(attempt: Attempt, layers: Sequence[Layer]) -> Outcome | None:
    """Enter the layers, outermost first; a closed gate is the outcome of an attempt that never started."""
    for layer in layers:
        try:
            attempt.job = layer.enter(attempt.job)
        except GateClosedError as gate:
            return gated(gate)
        except Exception as error:  # the store is away, a driver hangs: no fault of the Run
            log.warning("%s cannot start yet: %s", attempt.job.task, error)
            return Outcome(Kind.GATED, reason=Reason.NOT_READY, retry_after_ms=NOT_READY_MS)
        attempt.entered.append(layer)
    return None


def leave(attempt: Attempt, outcome: Outcome) -> None:
    """Leave the layers that were entered, innermost first. One that cannot be left keeps nobody from hearing how the Run ended."""
    while attempt.entered:
        try:
            attempt.entered.pop().leave(attempt.job, outcome)
        except Exception as error:
            log.warning("after %s: %s", attempt.job.run, error)


def call(attempt: Attempt, func: Callable[..., Any], run_context: context.RunContext) -> Outcome:
    """Run the user's function here, in this thread; whatever it does becomes an Outcome."""
    outer_run = context.enter(run_context)
    outer_attempt = current_attempt.set((attempt.claim.attempt, attempt.task.max_attempts))
    try:
        outcome = outcome_of_result(func(**attempt.job.params))
    except BaseException as error:
        outcome = outcome_of_exception(error)
    finally:
        current_attempt.reset(outer_attempt)
        context.leave(outer_run)
    return final(attempt, outcome)


def final(attempt: Attempt, outcome: Outcome) -> Outcome:
    """What holds when an attempt ended by itself, told to stop or not."""
    why = attempt.why
    return outcome if why is None or holds_against(why, outcome, noticed=attempt.stop.noticed) else why


def settlement(attempt: Attempt, outcome: Outcome, random: Random) -> Settlement:
    """What ``decide`` says, and what is kept of the attempt, for the queue. A plain success needs no judge."""
    claim = attempt.claim
    duration_ms = outcome.duration_ms or (perf_counter() - attempt.began) * 1000
    if outcome.kind is Kind.OK and outcome.error is None:
        return Settlement(claim.id, claim.token, State.SUCCEEDED, result=outcome.result, duration_ms=duration_ms)
    decision = decide(attempt.task, History(claim.attempt, claim.losses, claim.crashes), outcome, random)
    return Settlement(
        claim.id,
        claim.token,
        decision.state,
        decision.reason,
        decision.delay_ms,
        decision.burn,
        decision.strike,
        outcome.result,
        error_json(outcome),
        duration_ms,
        decision.close_lane_ms,
    )


def error_json(outcome: Outcome) -> str:
    """The error as it is stored: type, message, traceback."""
    if outcome.error is None:
        return ""
    facts: Mapping[str, Any] = asdict(outcome.error)
    return json.dumps({name: facts[name] for name in ("type", "message", "traceback")}, ensure_ascii=False)
