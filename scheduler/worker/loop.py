"""The worker: claims Runs, gives each a slot, settles what has ended. One conversation with the queue does both.

The conductor (see ``baton``) is the only thread that talks turns with the queue. Slots report back by putting into the
``outbox`` and poking it; nothing else is shared.
"""

import logging
import select
import socket
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from random import Random

from scheduler.core.clock import perf_counter
from scheduler.core.errors import UnknownTaskError
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.ports import Free, Wake, WorkerQueue
from scheduler.core.run import Claim
from scheduler.core.task import Task
from scheduler.worker import attempt as pipeline
from scheduler.worker.attempt import Attempt
from scheduler.worker.baton import Baton, Seat
from scheduler.worker.capture import refused
from scheduler.worker.outbox import Outbox
from scheduler.worker.pace import Pace
from scheduler.worker.slots import Limits, Means, Slots

log = logging.getLogger("scheduler.worker")

WAIT_S = 4  # an idle worker looks at the queue at least this often, woken or not


class Worker:
    """One worker under one id. ``start`` returns at once; ``tick`` is called by whoever keeps its time."""

    def __init__(self, name: str, queue: WorkerQueue, wake: Wake, tasks: Mapping[str, Task], limits: Limits, means: Means) -> None:
        self.name = name
        self.slots = Slots(limits, means, self._on_end)
        self.draining = False
        self.fenced = False
        self.finished = 0
        self.busy = threading.Event()  # set while the ticker must look every few milliseconds
        self.idle = threading.Event()  # set once a drained worker holds nothing
        self._queue = queue
        self._wake = wake
        self._tasks = tasks
        self._random = Random()
        self._pace = Pace()
        self._inbox: deque[Claim] = deque()  # claimed, waiting for a thread
        self._new: deque[Claim] = deque()  # claimed, and meant for a process or the event loop
        self._starting: set[str] = set()  # on their way from there into a slot, which may take long: plugins are imported, gates asked
        self._outbox = Outbox()
        self._lost = False
        self._closed = False
        self._left = threading.Event()  # set while no conductor is there
        self._left.set()
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._baton = Baton(name, self._conduct)

    # ── From outside ──────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        self._left.clear()
        self._baton.start()

    def tick(self) -> None:
        """Pass the baton on where a Run lasts; stop threads that are over their deadline."""
        self._baton.relieve(perf_counter())
        self.slots.tick()

    def cancel(self, told: Mapping[str, str]) -> None:
        """Stop these Runs (id → reason), where we hold them."""
        self.slots.cancel(told)

    def lose(self) -> None:
        """Somebody has heard that our lease is lost; the conductor gives up what we hold."""
        self._lost = True
        self._poke()

    def drain(self, *, ask: bool = True) -> None:
        """Claim nothing more, hand back what has not started, ``ask`` what runs to stop; ``idle`` is set when all is settled."""
        self.draining = True
        self._hand_back_inbox()
        if ask:
            self.slots.ask()
        self._poke()

    def abort(self, why: Outcome) -> None:
        """End what still runs."""
        self.slots.abort(why)
        self._poke()

    def close(self) -> None:
        """Let the conductor go, and with it the store; call it after ``idle``, or after ``abort`` when nobody waits any longer."""
        self._closed = True
        self._baton.close()
        self._poke()
        self._left.wait(1.0)

    def held(self) -> set[str]:
        """Ids of the Runs this worker believes it holds, settled ones included until the queue has heard of them."""
        waiting = {claim.id for claim in [*list(self._inbox), *list(self._new)]}
        return self.slots.held() | waiting | self._starting | self._outbox.runs()

    @property
    def is_asking(self) -> bool:
        """Whether a turn is under way: what it has claimed is known to the queue alone until the reply comes."""
        return self._outbox.is_asking

    # ── The conductor ─────────────────────────────────────────────────────────────────────────────────────────────

    def _conduct(self, seat: Seat) -> None:
        while not self._closed:
            while (claim := self._next(self._new)) is not None:
                if not self._start_elsewhere(seat, claim):
                    return
            while (claim := self._next(self._inbox) if self.slots.free().default else None) is not None:
                if not self._run_in_place(seat, claim):
                    return
            if not self._turn():
                self._wait()
        self._wake.close()
        self._ear.close()
        self._mouth.close()
        self._left.set()

    def _next(self, claims: deque[Claim]) -> Claim | None:
        """The first of ``claims``, held until it is in a slot; ``drain`` may empty them at the same time."""
        if not claims:
            return None
        with suppress(IndexError):
            claim = claims.popleft()
            self._starting.add(claim.id)
            return claim
        return None

    def _turn(self) -> bool:
        """One conversation with the queue; whether to go on at once."""
        if self._lost and not self.fenced:
            self._on_fenced()
            return False
        free = self._free()
        nonce, settlements = self._outbox.turn()
        if not settlements and not any(free):
            self._outbox.over()
            self._tell_idle()
            return False
        try:
            turn = self._queue.turn(self.name, nonce, free, settlements)
        except Exception as error:  # the store is away: ask again, with the same nonce, until it answers
            self._outage(error)
            return True
        self._pace.store_is_back()
        if turn.fenced:
            self._on_fenced()
            return False
        for claim in turn.claims:
            self._accept(claim)
        self._outbox.over()
        if self.draining:  # it began while we were asking
            self._hand_back_inbox()
        self._tell_idle()
        # Only a turn that claimed nothing has entered us among the idle: sleeping after another would miss the next wake-up.
        return bool(turn.claims or self._outbox)

    def _free(self) -> Free:
        if self.draining or self._closed or self.fenced:
            return Free()
        free = self.slots.free()
        threads = free.default - len(self._inbox)
        if threads > 0 and self._pace.short():
            threads = max(threads, self._pace.batch())
        return free._replace(default=max(0, threads))

    def _wait(self) -> None:
        """Sleep until the queue calls, a slot ends, or the wait runs out."""
        if self._outbox:
            return
        self.busy.clear()
        try:
            self._wake.arm(WAIT_S)
            line = self._wake.fileno()
            if line in self._listen(WAIT_S + 1, line) and self._wake.read() == "cancel":
                self.cancel(self._queue.cancels(self.name)[0])
        except Exception as error:
            self._outage(error)

    def _outage(self, error: Exception) -> None:
        self._pace.store_is_away(error)
        self._listen(self._pace.outage_delay_s())

    def _listen(self, seconds: float, *lines: int) -> list[int]:
        """Sleep until we are poked or one of ``lines`` is ready; which are. A poke that stayed unread would let nobody sleep any more."""
        ready = select.select([self._ear.fileno(), *lines], [], [], seconds)[0]
        if self._ear.fileno() in ready:
            self._ear.recv(4096)
        return ready

    def _on_fenced(self) -> None:
        """The lease was lost: whatever we hold belongs to others now."""
        log.error("worker %s lost its lease; its Runs belong to others now", self.name)
        self.fenced = True
        self._inbox.clear()
        self._new.clear()
        self._outbox.clear()
        self.abort(Outcome(Kind.LOST))

    def _tell_idle(self) -> None:
        if self.draining and not self.held():
            self.idle.set()

    def _poke(self) -> None:
        """Wake the conductor if it waits; a full pipe means that it has pokes to read already."""
        with suppress(OSError):
            self._mouth.send(b"!")

    # ── Runs ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _accept(self, claim: Claim) -> None:
        """Sort a claimed Run by its kind of slot."""
        task = self._tasks.get(claim.task)
        if task is None:
            unknown = UnknownTaskError(f"this worker does not know the task {claim.task!r}")
            self._on_end(pipeline.unstarted(claim, Task(name=claim.task, target="")), refused(unknown))
        elif task.slot == "default" and claim.losses < pipeline.FRESH_AFTER_LOSSES:
            self._inbox.append(claim)
        else:
            self._new.append(claim)

    def _start_elsewhere(self, seat: Seat, claim: Claim) -> bool:
        """Start it in a process or as a coroutine; whether this thread still holds the baton afterwards."""
        self._begin()
        if (attempt := self._prepare(claim)) is not None:
            self.slots.start_elsewhere(attempt)
        self._starting.discard(claim.id)
        return self._baton.end(seat)

    def _run_in_place(self, seat: Seat, claim: Claim) -> bool:
        """Run in this thread; whether it still holds the baton afterwards."""
        self._begin()
        if (attempt := self._prepare(claim)) is None:
            self._starting.discard(claim.id)
            return self._baton.end(seat)
        self.slots.enter_thread(attempt)
        self._starting.discard(claim.id)
        if self._pace.lasts(claim.task):
            self._baton.pass_on(seat)
        outcome = self.slots.call_here(attempt)
        holds = self._baton.end(seat)
        self.slots.leave_thread(attempt, outcome)
        return holds

    def _begin(self) -> None:
        """What this thread does now may last: then the ticker lets another one conduct."""
        self._baton.begin()
        if not self.busy.is_set():
            self.busy.set()

    def _prepare(self, claim: Claim) -> Attempt | None:
        """The attempt, ready to start; None when it has ended before that: a gate is closed, its params are no JSON, we stop."""
        task = self._tasks[claim.task]
        try:
            attempt = self.slots.prepare(claim, task)
        except Exception as error:
            self._on_end(pipeline.unstarted(claim, task), refused(error))
            return None
        if attempt is not None and (self.draining or self.fenced):
            self.slots.hand_back(attempt)
            return None
        return attempt

    def _on_end(self, attempt: Attempt, outcome: Outcome) -> None:
        """Any thread: an attempt has ended."""
        if self.draining and attempt.stop.noticed and attempt.why is None:
            outcome = Outcome(Kind.HANDED_BACK)  # it stopped half-way because the worker stops: the rest is for another
        settled = pipeline.settlement(attempt, outcome, self._random)
        self._pace.ran(attempt.task.name, settled.duration_ms)
        self.finished += 1
        if not self.fenced:
            self._outbox.put(settled)
            if not self._baton.held_here():
                self._poke()

    def _hand_back_inbox(self) -> None:
        for claims in (self._inbox, self._new):
            with suppress(IndexError):
                while True:
                    claim = claims.popleft()
                    self._on_end(pipeline.unstarted(claim, self._tasks[claim.task]), Outcome(Kind.HANDED_BACK))
