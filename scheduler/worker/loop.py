"""The worker: claims Runs, gives each a slot, settles what has ended. One conversation with the queue does both.

The conductor (see ``baton``) is the only thread that talks turns with the queue. Slots report back by appending to
``_ended`` and poking it; nothing else is shared.
"""

import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, NamedTuple

from scheduler.core.clock import monotonic, perf_counter
from scheduler.core.outcome import Error, Kind, Outcome
from scheduler.core.ports import Free, Handle, Job, Resolver, Wake, WorkerQueue
from scheduler.core.run import Claim, Settlement
from scheduler.core.task import Task
from scheduler.worker import attempt as pipeline
from scheduler.worker import context
from scheduler.worker.attempt import Attempt, Layer
from scheduler.worker.baton import Baton, Seat, interrupt
from scheduler.worker.context import RunContext
from scheduler.worker.pace import Pace

log = logging.getLogger("scheduler.worker")

WAIT_S = 5  # an idle worker looks at the queue at least this often, woken or not
OVERRUN_S = 0.3  # between asking a thread to stop at its deadline and giving it up
GIVE_UP_S = 10.0  # the same after a cancel


class Slots(NamedTuple):
    """How many Runs of each kind at one time."""

    threads: int = 20
    processes: int = 5
    asyncio: int = 200


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker is built from; the centre wires it."""

    queue: WorkerQueue
    wake: Wake
    tasks: Mapping[str, Task]
    resolve: Resolver
    layers_for: Callable[[Task], Sequence[Layer]]
    start_process: Callable[[Job, Callable[[Outcome], None]], Handle]
    start_async: Callable[[Attempt, Callable[..., Any], RunContext, Callable[[Outcome], None]], Handle]
    open_output: Callable[[str, int], Callable[[bytes], None]]
    close_output: Callable[[str], None]
    report: Callable[[str, int, int, str], None]


class Worker:
    """One worker under one id. ``start`` returns at once; ``tick`` is called by whoever keeps its time."""

    def __init__(self, name: str, slots: Slots, parts: Parts) -> None:
        self.name = name
        self.slots = slots
        self._parts = parts
        self._random = Random()
        self._pace = Pace()
        self._inbox: deque[Claim] = deque()  # claimed, waiting for a thread
        self._in_threads: dict[str, Attempt] = {}
        self._in_processes: dict[str, Attempt] = {}
        self._in_asyncio: dict[str, Attempt] = {}
        self._ended: deque[Settlement] = deque()
        self._unsure: tuple[str, list[Settlement]] | None = None
        self._turns = 0
        self.draining = False
        self._closed = False
        self.fenced = False
        self.stuck = 0
        self.finished = 0
        self._ear, self._mouth = os.pipe()
        os.set_blocking(self._ear, False)
        os.set_blocking(self._mouth, False)
        self.busy = threading.Event()  # set while the ticker must look every few milliseconds
        self.idle = threading.Event()  # set once a drained worker holds nothing
        self.baton = Baton(name, self._conduct)

    # ── Life ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        self.baton.start()

    def drain(self) -> None:
        """Claim nothing more, hand back what has not started, ask what runs to stop; ``idle`` is set when all is settled."""
        self.draining = True
        self._hand_back_inbox()
        for attempt in self._all():
            attempt.stop.set()
        self.poke()

    def abort(self, why: Outcome) -> None:
        """End what still runs: kill processes, cancel coroutines, give threads up."""
        for attempt in self._all():
            attempt.tell(why)
        for run in list(self._in_threads):
            self._give_up(run, why)
        self.poke()

    def close(self) -> None:
        """Let the conductor go; call it after ``idle``, or after ``abort`` when nobody waits any longer."""
        self._closed = True
        self.baton.close()
        self.poke()

    def held(self) -> set[str]:
        """Ids of the Runs this worker believes it holds, settled ones included until the queue has heard of them."""
        unsure = [s.id for s in self._unsure[1]] if self._unsure else []
        waiting = [claim.id for claim in list(self._inbox)]
        return {*self._in_threads, *self._in_processes, *self._in_asyncio, *waiting, *unsure, *(s.id for s in list(self._ended))}

    def poke(self) -> None:
        """Wake the conductor if it waits."""
        try:
            os.write(self._mouth, b"!")
        except BlockingIOError:
            pass  # it has not read the last pokes yet: it is awake
        except OSError:
            pass  # closed

    # ── Time ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def tick(self) -> None:
        """Pass the baton on where a Run lasts, stop threads that are over their deadline."""
        self.baton.relieve(perf_counter())
        now = monotonic()
        for run, attempt in list(self._in_threads.items()):
            if attempt.why is None and attempt.deadline is not None and now >= attempt.deadline:
                attempt.tell(timed_out(attempt.task))
            elif attempt.why is not None:
                patience = OVERRUN_S if attempt.why.kind is Kind.TIMED_OUT else GIVE_UP_S
                if now - attempt.told_at > patience:
                    self._give_up(run, attempt.why)

    def nearest_deadline(self) -> float:
        """Monotonic time at which the first Run in a thread should be over; inf when none has a deadline."""
        return min((a.deadline for a in list(self._in_threads.values()) if a.deadline is not None), default=float("inf"))

    def cancel(self, told: Mapping[str, str]) -> None:
        """Stop these Runs (id → reason), where we hold them."""
        for run, reason in told.items():
            attempt = self._in_threads.get(run) or self._in_processes.get(run) or self._in_asyncio.get(run)
            if attempt:
                attempt.tell(Outcome(Kind.CANCELLED, reason=reason))

    def _give_up(self, run: str, why: Outcome) -> None:
        """Settle a Run whose thread does not listen; the thread is stuck, its late result is discarded."""
        attempt = self._in_threads.pop(run, None)
        if attempt is not None:
            self.stuck += 1
            interrupt(attempt.thread)  # a loop in Python can still be broken; a call into C cannot
            self._end(attempt, why)
            self.poke()

    # ── The conductor ─────────────────────────────────────────────────────────────────────────────────────────────

    def _conduct(self, seat: Seat) -> None:
        while not self._closed:
            while (claim := self._next_claim()) is not None:
                if not self._run_in_place(seat, claim):
                    return
            if not self._turn():
                self._wait()

    def _next_claim(self) -> Claim | None:
        try:
            return self._inbox.popleft() if len(self._in_threads) < self.slots.threads else None
        except IndexError:
            return None

    def _turn(self) -> bool:
        """One conversation with the queue; whether there is something to go on with at once."""
        free = self._free()
        if self._unsure is None:
            self._turns += 1
            self._unsure = (str(self._turns), [self._ended.popleft() for _ in range(len(self._ended))])
        nonce, settlements = self._unsure
        if not settlements and not any(free):
            self._unsure = None
            self._tell_idle()
            return False
        try:
            turn = self._parts.queue.turn(self.name, nonce, free, settlements)
        except Exception as error:  # the store is away: ask again, with the same nonce, until it answers
            self._outage(error)
            return True
        self._unsure = None
        self._pace.store_is_back()
        if turn.fenced:
            self._on_fenced()
            return False
        for claim in turn.claims:
            self._accept(claim)
        self._tell_idle()
        # Only a turn that claimed nothing has entered us among the idle: sleeping after another would miss the next wake-up.
        return bool(turn.claims or self._ended)

    def _free(self) -> Free:
        if self.draining or self._closed or self.fenced:
            return Free()
        threads = self.slots.threads - len(self._in_threads) - len(self._inbox)
        if threads > 0:
            threads = max(threads, self._pace.batch()) if self._pace.short() else threads
        processes = self.slots.processes - len(self._in_processes)
        return Free(max(0, threads), max(0, processes), max(0, self.slots.asyncio - len(self._in_asyncio)))

    def _wait(self) -> None:
        """Sleep until the queue calls, a slot ends, or the wait runs out."""
        if self._ended:
            return
        self.busy.clear()
        try:
            self._parts.wake.arm(WAIT_S)
            line = self._parts.wake.fileno()
            ready, _, _ = select.select([line, self._ear], [], [], WAIT_S + 2)
            if line in ready and self._parts.wake.read() == "cancel":
                self.cancel(self._parts.queue.cancels(self.name)[0])
        except Exception as error:
            self._outage(error)
            return
        if self._ear in ready:
            os.read(self._ear, 4096)

    def _outage(self, error: Exception) -> None:
        self._pace.store_is_away(error)
        select.select([self._ear], [], [], self._pace.outage_delay_s())

    def _on_fenced(self) -> None:
        """The lease was lost: whatever we hold belongs to others now."""
        log.error("worker %s lost its lease; its Runs belong to others now", self.name)
        self.fenced = True
        self._inbox.clear()
        self._ended.clear()
        self.abort(Outcome(Kind.LOST))

    def _tell_idle(self) -> None:
        if self.draining and not self.held():
            self.idle.set()

    # ── Slots ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _accept(self, claim: Claim) -> None:
        """Give a claimed Run its kind of slot; threads take theirs from the inbox."""
        task = self._parts.tasks.get(claim.task)
        if task is None:
            self._refuse(claim, f"this worker does not know the task {claim.task!r}")
        elif task.slot == "default" and claim.losses < pipeline.ISOLATE_AFTER_LOSSES:
            self._inbox.append(claim)
        else:
            self._start_elsewhere(claim, task)

    def _start_elsewhere(self, claim: Claim, task: Task) -> None:
        attempt = self._prepare(claim, task)
        if attempt is None:
            return
        alone = task.slot != "asyncio" or attempt.job.fresh
        table = self._in_processes if alone else self._in_asyncio
        table[claim.id] = attempt
        done = partial(self._slot_ended, table, attempt)
        try:
            if alone:
                handle = self._parts.start_process(attempt.job, done)
            else:
                handle = self._parts.start_async(attempt, self._parts.resolve(task.target), self._context(attempt), done)
            attempt.handle = handle
            if attempt.why is not None:  # told to stop before it had a handle
                handle.stop(attempt.why)
        except Exception as error:
            done(_broken(error))

    def _slot_ended(self, table: dict[str, Attempt], attempt: Attempt, outcome: Outcome) -> None:
        if table.pop(attempt.claim.id, None) is not None:
            self._end(attempt, pipeline.final(attempt, outcome))
            self.poke()

    def _run_in_place(self, seat: Seat, claim: Claim) -> bool:
        """Run in this thread; whether it still holds the baton afterwards."""
        task = self._parts.tasks[claim.task]
        attempt = self._prepare(claim, task)
        if attempt is None:
            return True
        attempt.thread = threading.get_ident()
        self._in_threads[claim.id] = attempt
        if self._pace.lasts(task.name):
            self.baton.pass_on(seat)
        else:
            self.baton.begin()
            if not self.busy.is_set():
                self.busy.set()
        try:
            func = self._parts.resolve(task.target)
        except Exception as error:
            outcome = _broken(error)
        else:
            outcome = pipeline.call(attempt, func, self._context(attempt))
        holds = self.baton.end(seat)
        if self._in_threads.pop(claim.id, None) is not None:
            self._end(attempt, outcome)
        else:
            self.stuck -= 1  # it was given up, and has come back after all
        if not holds:
            self.poke()
        return holds

    def _prepare(self, claim: Claim, task: Task) -> Attempt | None:
        """The attempt with its layers entered; None when a gate was closed (then it is settled)."""
        attempt = pipeline.prepare(claim, task)
        if layers := self._parts.layers_for(task):
            with context.inside(self._context(attempt)):  # what a layer logs is for the Run's own log
                gated = pipeline.enter(attempt, layers)
            if gated:
                self._end(attempt, gated)
                return None
        return attempt

    def _context(self, attempt: Attempt) -> RunContext:
        claim = attempt.claim
        report = partial(self._parts.report, claim.id, claim.token)
        return RunContext(attempt.job, report, attempt.stop, partial(self._parts.open_output, claim.id, claim.attempt))

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        if attempt.entered:
            with context.inside(self._context(attempt)):
                pipeline.leave(attempt, outcome)
        self._parts.close_output(attempt.claim.id)
        if self.draining and attempt.stop.noticed and attempt.why is None:
            outcome = Outcome(Kind.HANDED_BACK)  # it stopped half-way because the worker stops: the rest is for another
        settled = pipeline.settlement(attempt, outcome, self._random)
        self._pace.ran(attempt.task.name, settled.duration_ms)
        self.finished += 1
        if not self.fenced:
            self._ended.append(settled)

    def _refuse(self, claim: Claim, message: str) -> None:
        attempt = pipeline.prepare(claim, Task(name=claim.task, target=""))
        self._end(attempt, Outcome(Kind.REFUSED, error=Error("UnknownTask", message)))

    def _hand_back_inbox(self) -> None:
        while True:
            try:
                claim = self._inbox.popleft()
            except IndexError:
                return
            self._end(pipeline.prepare(claim, self._parts.tasks[claim.task]), Outcome(Kind.HANDED_BACK))

    def _all(self) -> list[Attempt]:
        return [*self._in_threads.values(), *self._in_processes.values(), *self._in_asyncio.values()]


def timed_out(task: Task) -> Outcome:
    """The outcome of a Run that was over its deadline, with the seed's message."""
    seconds = (task.timeout_ms or 0) / 1000
    return Outcome(Kind.TIMED_OUT, error=Error("TimeoutError", f"任务 {task.name} 执行超时 ({seconds:g}秒)"))


def _broken(error: Exception) -> Outcome:
    return Outcome(Kind.REFUSED, error=Error(type(error).__name__, str(error)))
