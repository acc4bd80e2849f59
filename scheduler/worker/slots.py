"""The slots of one worker: who runs where, until when, and how each kind is told to stop."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from scheduler.core.clock import monotonic
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.ports import Free, Handle, Job, Resolver
from scheduler.core.run import Claim
from scheduler.core.task import Task
from scheduler.worker import attempt as pipeline
from scheduler.worker import context
from scheduler.worker.attempt import Attempt, Layer
from scheduler.worker.baton import interrupt
from scheduler.worker.capture import outcome_of_exception, timed_out
from scheduler.worker.context import RunContext

OVERRUN_S = 0.3  # between asking a thread to stop at its deadline and giving it up
GIVE_UP_S = 10.0  # the same after a cancel
DEAF_S = 0.4  # between asking a coroutine to stop and freeing a loop that does not hear
_HANDED_BACK = Outcome(Kind.HANDED_BACK)


class Limits(NamedTuple):
    """How many Runs of each kind at one time."""

    threads: int = 20
    processes: int = 5
    asyncio: int = 200


@dataclass(frozen=True, slots=True)
class Means:
    """What the slots are built from; the centre wires it."""

    resolve: Resolver
    layers_for: Callable[[Task], Sequence[Layer]]
    start_process: Callable[[Job, Callable[[Outcome], None]], Handle]
    start_async: Callable[[Attempt, Callable[..., Any], RunContext, Callable[[Outcome], None]], Handle]
    open_output: Callable[[str, int], Callable[[bytes], None]]
    close_output: Callable[[str], None]
    report: Callable[[str, int, int, str], None]
    announce: Callable[[float], None]  # the nearest deadline of a thread or coroutine, before a Run begins


class Slots:
    """Attempts at work, by kind. ``on_end(attempt, outcome)`` is called exactly once for each, from the thread in which it ended."""

    def __init__(self, limits: Limits, means: Means, on_end: Callable[[Attempt, Outcome], None]) -> None:
        self.limits = limits
        self._means = means
        self._on_end = on_end
        # Attempts, not Runs: the code of one that was given up may come to its end while the next is at work.
        self._threads: set[Attempt] = set()
        self._processes: set[Attempt] = set()
        self._asyncio: set[Attempt] = set()
        self._stuck: set[Attempt] = set()  # given up in a thread or in a loop that does not turn, and not come back yet

    # ── Starting ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def stuck(self) -> int:
        """How many were given up and have not come back: each still has its thread, or a loop that something blocks."""
        return len(self._stuck)

    def free(self) -> Free:
        threads, processes, coroutines = self.limits
        left = threads - len(self._threads) - self.stuck, processes - len(self._processes), coroutines - len(self._asyncio)
        return Free(*(max(0, each) for each in left))

    def prepare(self, claim: Claim, task: Task) -> Attempt | None:
        """The attempt with its layers entered; None when a gate was closed (then it has ended)."""
        attempt = pipeline.prepare(claim, task)
        if layers := self._means.layers_for(task):
            with context.inside(self.context(attempt)):  # what a layer logs is for the Run's own log
                refused = pipeline.enter(attempt, layers)
            if refused:
                self._end(attempt, refused)
                return None
        return attempt

    def context(self, attempt: Attempt) -> RunContext:
        return RunContext(attempt.job, partial(self._report, attempt), attempt.stop, partial(self._open_output, attempt))

    def _report(self, attempt: Attempt, percent: int, message: str) -> None:
        if not attempt.over:
            self._means.report(attempt.claim.id, attempt.claim.token, percent, message)

    def _open_output(self, attempt: Attempt) -> Callable[[bytes], None]:
        return _discard if attempt.over else self._means.open_output(attempt.claim.id, attempt.claim.attempt)

    def call_here(self, attempt: Attempt) -> Outcome:
        """Run the user's function in this thread."""
        try:
            func = self._means.resolve(attempt.task.target)
        except Exception as error:  # a plugin that is broken is REFUSED; this process may also be short of something
            return outcome_of_exception(error)
        return pipeline.call(attempt, func, self.context(attempt))

    def enter_thread(self, attempt: Attempt) -> None:
        attempt.thread = threading.get_ident()
        self._add(self._threads, attempt)

    def leave_thread(self, attempt: Attempt, outcome: Outcome) -> None:
        """The thread has come to its end; a Run that was given up before is discarded."""
        known = _took_out(self._threads, attempt)
        if attempt.deadline is not None:
            self._means.announce(self.nearest_deadline())
        if known:
            self._end(attempt, outcome)
        else:
            self._stuck.discard(attempt)

    def hand_back(self, attempt: Attempt) -> None:
        """It was prepared, and will not start."""
        self._end(attempt, _HANDED_BACK)

    def start_elsewhere(self, attempt: Attempt) -> None:
        """Start an attempt in a process or as a coroutine."""
        task = attempt.task
        process = task.slot != "asyncio" or attempt.job.fresh
        table = self._processes if process else self._asyncio
        self._add(table, attempt)
        done = partial(self._ended, table, attempt)
        try:
            if process:
                handle = self._means.start_process(attempt.job, done)
            else:
                handle = self._means.start_async(attempt, self._means.resolve(task.target), self.context(attempt), done)
        except Exception as error:
            done(outcome_of_exception(error))
            return
        attempt.handle = handle
        if attempt.why is not None:  # told to stop before it had a handle
            handle.stop(attempt.why)
        elif attempt.stop.on:
            handle.ask(_HANDED_BACK)

    def _add(self, table: set[Attempt], attempt: Attempt) -> None:
        table.add(attempt)
        if attempt.deadline is not None and table is not self._processes:
            self._means.announce(self.nearest_deadline())

    def _ended(self, table: set[Attempt], attempt: Attempt, outcome: Outcome) -> None:
        if _took_out(table, attempt):
            self._end(attempt, pipeline.final(attempt, outcome))
        else:
            self._stuck.discard(attempt)

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        if attempt.entered:
            with context.inside(self.context(attempt)):
                pipeline.leave(attempt, outcome)
        attempt.over = True
        self._means.close_output(attempt.claim.id)
        self._on_end(attempt, outcome)

    # ── Stopping ──────────────────────────────────────────────────────────────────────────────────────────────────

    def tick(self) -> None:
        """Stop threads and coroutines that are over their deadline; give up those that do not listen."""
        now = monotonic()
        for attempt in list(self._threads):
            if attempt.why is None and attempt.deadline is not None and now >= attempt.deadline:
                attempt.tell(timed_out(attempt.task.name, attempt.task.timeout_ms))
            elif attempt.why is not None:
                patience = OVERRUN_S if attempt.why.kind is Kind.TIMED_OUT else GIVE_UP_S
                if now - attempt.told_at > patience:
                    self._give_up(attempt, attempt.why)
        for attempt in list(self._asyncio):
            self._tick_coroutine(attempt, now)

    def _tick_coroutine(self, attempt: Attempt, now: float) -> None:
        """Its loop does all this, unless something blocks it."""
        if attempt.why is None and attempt.deadline is not None and now >= attempt.deadline:
            attempt.tell(timed_out(attempt.task.name, attempt.task.timeout_ms or 0))
        elif attempt.why is not None and attempt.handle is not None and now - attempt.told_at > DEAF_S:
            attempt.handle.stop(attempt.why)
            self._stuck.add(attempt)
            self._ended(self._asyncio, attempt, attempt.why)

    def nearest_deadline(self) -> float:
        """Monotonic time at which the first Run in this very process should be over; inf when none has a deadline."""
        here = [*self._threads, *self._asyncio]
        return min((attempt.deadline for attempt in here if attempt.deadline is not None), default=float("inf"))

    def cancel(self, told: Mapping[str, str]) -> None:
        """Stop these Runs (id → reason), where we have them."""
        for attempt in self._all():
            if attempt.claim.id in told:
                attempt.tell(Outcome(Kind.CANCELLED, reason=told[attempt.claim.id]))

    def ask(self) -> None:
        """``should_stop()`` is true from now on."""
        for attempt in self._all():
            attempt.stop.set()
            if attempt.handle is not None:
                attempt.handle.ask(_HANDED_BACK)

    def abort(self, why: Outcome) -> None:
        """End all: kill processes, cancel coroutines, give threads up."""
        for attempt in self._all():
            attempt.tell(why)
        for attempt in list(self._threads):
            self._give_up(attempt, why)

    def held(self) -> set[str]:
        return {attempt.claim.id for attempt in self._all()}

    def _give_up(self, attempt: Attempt, why: Outcome) -> None:
        """Settle a Run whose thread does not listen; its late result is discarded."""
        self._stuck.add(attempt)  # before anybody sees it gone: it may come back at once
        if _took_out(self._threads, attempt):
            interrupt(attempt.thread)  # a loop in Python can still be broken; a call into C cannot
            self._end(attempt, why)
        else:
            self._stuck.discard(attempt)

    def _all(self) -> list[Attempt]:
        return [*self._threads, *self._processes, *self._asyncio]


def _took_out(table: set[Attempt], attempt: Attempt) -> bool:
    """Whether it was still there: of those who see its end, one is the first."""
    try:
        table.remove(attempt)
    except KeyError:
        return False
    return True


def _discard(_: bytes) -> None:
    """Where output goes that comes after the end."""
