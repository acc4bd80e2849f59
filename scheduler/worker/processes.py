"""The process slots: Runs in children that can be killed with everything they started, and are reused when nothing tells against it."""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from scheduler.core.outcome import Kind, Outcome
from scheduler.core.ports import Handle, Job
from scheduler.core.states import Reason
from scheduler.worker.capture import lost
from scheduler.worker.forkserver import ForkServer, passed_environment
from scheduler.worker.process_slot import Patience, ProcessSlot, Terms, Ticket

_SHUTDOWN = Outcome(Kind.HANDED_BACK, reason=Reason.SHUTDOWN)
_log = logging.getLogger(__name__)


class ProcessStats(NamedTuple):
    """Slots by what they do now, and how many children were ever forked. ``leaving``: on their way out, or not yet reported gone."""

    warm: int
    busy: int
    leaving: int
    forked: int


class ProcessRunner:
    """Runs Jobs in children of a fork server; any thread may call. ``done``, ``on_output`` and ``on_progress`` come from the threads here.

    ``resolver`` and ``prepare`` are texts ``module:function``, imported on the other side: ``prepare(plugins)`` is called once, then
    ``resolver(target)`` for each target. ``env`` is added to the few variables that children inherit. ``idle_max``: how many warm
    children are kept. ``output_cap`` (bytes): a Run that prints more is read in a trickle.
    """

    def __init__(  # noqa: PLR0913  each is a setting of its own
        self,
        *,
        resolver: str,
        prepare: str = "",
        plugins: str = "",
        env: Mapping[str, str] | None = None,
        patience: Patience = Patience(),  # noqa: B008  a tuple cannot change
        idle_max: int = 8,
        output_cap: int = 10_000_000,
        on_output: Callable[[str, bytes], None],
        on_progress: Callable[[str, int, str], None],
    ) -> None:
        self._terms = Terms(patience, output_cap, _guarded(on_output), _guarded(on_progress), self._on_end)
        self._settings = {"resolver": resolver, "prepare": prepare, "plugins": plugins}
        self._env = dict(env or {})
        self._idle_max = idle_max
        self._forking = threading.Lock()  # guards the next two
        self._server: ForkServer | None = None
        self._forked = 0
        self._state = threading.Condition()  # guards all that follows
        self._under_way: dict[Ticket, Callable[[Outcome], None]] = {}
        self._idle: list[ProcessSlot] = []
        self._slots = 0
        self._generation = 0
        self._closed = False

    @property
    def children(self) -> int:
        """Child processes there are, busy or not."""
        return self._slots

    @property
    def stats(self) -> ProcessStats:
        with self._state:
            warm, busy = len(self._idle), len(self._under_way)
            return ProcessStats(warm, busy, max(0, self._slots - warm - busy), self._forked)

    def start(self, job: Job, done: Callable[[Outcome], None]) -> Handle:
        """Begin ``job``; ``done`` is called exactly once. RuntimeError after ``close``, TypeError or ValueError for params not JSON."""
        ticket = Ticket(job, self._terms)
        with self._state:
            if self._closed:
                raise RuntimeError("the process runner is closed")
            self._under_way[ticket] = done
            slot = self._idle.pop() if self._idle and not job.fresh and not job.env else None
        if slot:
            slot.inbox.put(ticket)
            return ticket
        try:
            threading.Thread(target=self._live, args=(ticket,), name="process-slot", daemon=True).start()
        except RuntimeError as error:  # no thread is to be had
            ticket.settle(lost(f"no process for it: {error}"))
        return ticket

    def retire(self) -> None:
        """Use none of the present children again: plugins have changed. Runs in progress end as they would."""
        with self._state:
            self._generation += 1
            idle, self._idle = self._idle, []
        for slot in idle:
            slot.inbox.put(None)

    def close(self, timeout_s: float = 5.0) -> None:
        """Kill what runs and hand it back, let idle children go, and leave no process behind. Safe to call twice."""
        with self._state:
            self._closed = True
            under_way = list(self._under_way)
        self.retire()
        for ticket in under_way:
            ticket.stop(_SHUTDOWN)
            ticket.stop(_SHUTDOWN)
        if not self._is_empty(timeout_s) and self._server:
            self._server.kill()
            self._is_empty(timeout_s)
        if self._server:
            self._server.bury()

    def _is_empty(self, timeout_s: float) -> bool:
        with self._state:
            return self._state.wait_for(lambda: not self._slots, timeout_s)

    def _live(self, ticket: Ticket | None) -> None:
        """A thread for one slot: usually for one child, for another one when that was dead before it began the Run."""
        with self._state:
            self._slots += 1
        while ticket:
            ticket = self._look_after(ticket)
        with self._state:
            self._slots -= 1
            self._state.notify_all()

    def _look_after(self, first: Ticket) -> Ticket | None:
        """Look after a child from its fork until it is gone; a Run that it could not begin is given back."""
        ticket: Ticket | None = first
        slot, generation = None, self._generation
        try:
            slot = self._fork(first)
            while slot and ticket and slot.attend(ticket):
                stays = self._put_aside(slot, generation)
                ticket.settle()
                ticket = slot.inbox.get() if stays else None
            return slot.see_off(ticket) if slot else None
        except Exception as error:  # no process is to be had, or a mistake of ours: a Run must not be left without an end
            _log.exception("a process slot stumbled; its child is given up")
            if slot:
                slot.give_up()
            if ticket:
                ticket.settle(lost(f"no process for it: {error}"))
            return None

    def _fork(self, ticket: Ticket) -> ProcessSlot | None:
        """OSError when even a new fork server has no child for us."""
        with self._forking:
            if called_off := ticket.why or ticket.asked:
                ticket.settle(called_off)
                return None
            if anew := self._server is None or self._server.buried:
                self._server = ForkServer(self._settings, passed_environment(os.environ, self._env))
            try:
                slot = ProcessSlot(self._server, self._terms)
            except (ConnectionError, TimeoutError):  # it has just died, or hangs
                self._server.bury()
                if anew:
                    raise
            else:
                self._forked += 1
                return slot
        return self._fork(ticket)

    def _put_aside(self, slot: ProcessSlot, generation: int) -> bool:
        """Keep a child warm, unless there are enough of them or it is outdated."""
        with self._state:
            stays = generation == self._generation and len(self._idle) < self._idle_max
            if stays:
                self._idle.append(slot)
        return stays

    def _on_end(self, ticket: Ticket, outcome: Outcome) -> None:
        with self._state:
            done = self._under_way.pop(ticket, None)
        if done:
            _guarded(done)(outcome)


def _guarded(callback: Callable[..., None]) -> Callable[..., None]:
    """A callback that raises must not end the thread that looks after a child."""

    def call(*arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception:
            _log.exception("%r raised", callback)

    return call
