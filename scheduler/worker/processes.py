"""The process slots: Runs in children that can be killed with everything they started, and are reused when nothing tells against it."""

import logging
import os
import selectors
import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from scheduler.core.clock import monotonic
from scheduler.core.outcome import Error, Kind, Outcome
from scheduler.core.ports import Handle, Job
from scheduler.core.states import Reason
from scheduler.worker.channels import NEVER, Requests
from scheduler.worker.forkserver import ForkServer, passed_environment
from scheduler.worker.process_slot import Patience, ProcessSlot, Ticket
from scheduler.worker.wire import pack

MEMORY_CHECK_S = 0.25
_SHUTDOWN = Outcome(Kind.HANDED_BACK, reason=Reason.SHUTDOWN)
_log = logging.getLogger(__name__)


class ProcessStats(NamedTuple):
    """Children by what they do now, and how many were ever forked. ``leaving``: on their way out, or not yet reported gone."""

    warm: int
    busy: int
    leaving: int
    forked: int


class ProcessRunner:
    """Runs Jobs in children of a fork server. Any thread may call; ``done``, ``on_output`` and ``on_progress`` are called on its own.

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
        self.selector = selectors.DefaultSelector()
        self.patience = patience
        self.output_cap = output_cap
        self._settings = {"resolver": resolver, "prepare": prepare, "plugins": plugins}
        self._env = dict(env or {})
        self._idle_max = idle_max
        self._on_output = on_output
        self._on_progress = on_progress
        self._server: ForkServer | None = None
        self._slots: dict[int, ProcessSlot] = {}
        self._idle: list[ProcessSlot] = []
        self._waiting: deque[Ticket] = deque()
        self._forked = 0
        self._memory_at = NEVER
        self._closing = False
        self._requests = Requests(self.selector)
        self._thread = threading.Thread(target=self._serve, name="process-runner", daemon=True)
        self._thread.start()

    @property
    def children(self) -> int:
        """Child processes there are, busy or not."""
        return len(self._slots)

    @property
    def stats(self) -> ProcessStats:
        slots = list(self._slots.values())
        busy = sum(slot.ticket is not None for slot in slots)
        return ProcessStats(len(self._idle), busy, max(0, len(slots) - busy - len(self._idle)), self._forked)

    def start(self, job: Job, done: Callable[[Outcome], None]) -> Handle:
        """Begin ``job``; ``done`` is called exactly once. RuntimeError after ``close``, TypeError or ValueError for params not JSON."""
        if self._closing:
            raise RuntimeError("the process runner is closed")
        ticket = Ticket(job, pack(job), done, self)
        self._requests.add(partial(self.begin, ticket))
        return ticket

    def request_ask(self, ticket: Ticket) -> None:
        """Tell its code that it should stop; what has not begun will not."""
        self._requests.add(partial(self._ask, ticket))

    def request_stop(self, ticket: Ticket, why: Outcome) -> None:
        """End it."""
        self._requests.add(partial(self._stop, ticket, why))

    def retire(self) -> None:
        """Use none of the present children again: plugins have changed. Runs in progress end as they would."""
        self._requests.add(self._retire)

    def close(self, timeout_s: float = 5.0) -> None:
        """Kill what runs and hand it back, let idle children go, and leave no process behind. Safe to call twice."""
        self._requests.add(self._close)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._requests.add(self._kill_server)
            self._thread.join(timeout_s)

    # From here on: the runner's own thread.

    def signal(self, slot: ProcessSlot, number: int) -> None:
        if self._server:
            self._server.signal(slot.number, number)

    def output(self, run_id: str, data: bytes) -> None:
        _guarded(self._on_output, run_id, data)

    def progress(self, run_id: str, percent: int, message: str) -> None:
        _guarded(self._on_progress, run_id, percent, message)

    def finish(self, ticket: Ticket, outcome: Outcome) -> None:
        _guarded(ticket.done, outcome)

    def rest(self, slot: ProcessSlot) -> None:
        """A child is free; keep it warm, or let it go."""
        if slot.spent or len(self._idle) >= self._idle_max:
            slot.retire()
        else:
            self._idle.append(slot)
            self._begin_waiting()

    def begin(self, ticket: Ticket) -> None:
        if self._closing:
            return self.finish(ticket, _SHUTDOWN)
        self._waiting.append(ticket)
        return self._begin_waiting()

    def _serve(self) -> None:
        while not (self._closing and self._server is None):
            try:
                self._turn()
            except Exception:  # a mistake of ours must not leave Runs without an end: begin anew
                _log.exception("the process runner stumbled; its children are given up")
                self._kill_server()
        self._requests.close()
        self.selector.close()

    def _turn(self) -> None:
        """One round: what has arrived, what was asked, what is due."""
        wait_s = max(0.0, self._next_due() - monotonic())
        for key, mask in self.selector.select(None if wait_s == NEVER else wait_s):
            key.data(mask)
        self._requests.take()
        now = monotonic()
        for slot in [slot for slot in self._slots.values() if slot.due <= now]:
            slot.act(now)
        if self._memory_at <= now:
            self._check_memory(now)
        if self._server and self._server.overdue_at <= now:
            self._kill_server()

    def _next_due(self) -> float:
        server = self._server.overdue_at if self._server else NEVER
        return min(server, self._memory_at, self._requests.due, *(slot.due for slot in self._slots.values()))

    def _begin_waiting(self) -> None:
        """In their order, as fast as the fork server can follow."""
        while self._waiting and (self._fits_idle(self._waiting[0]) or not (self._server and self._server.swamped)):
            ticket = self._waiting.popleft()
            try:
                slot = self._idle.pop() if self._fits_idle(ticket) else self._new_slot()
            except OSError as error:
                _log.exception("no process for run %s", ticket.job.run)
                self.finish(ticket, _lost(f"no process could be started: {error}"))
            else:
                slot.begin(ticket)
                if ticket.job.memory_limit:
                    self._memory_at = min(self._memory_at, monotonic() + MEMORY_CHECK_S)

    def _fits_idle(self, ticket: Ticket) -> bool:
        while self._idle and self._idle[-1].spent:  # it has just died
            self._idle.pop()
        return bool(self._idle) and not ticket.job.fresh and not ticket.job.env

    def _ask(self, ticket: Ticket) -> None:
        if ticket.slot:
            ticket.slot.ask()
        elif ticket.asked:
            self._stop(ticket, ticket.asked)

    def _stop(self, ticket: Ticket, why: Outcome) -> None:
        if ticket.slot:
            ticket.slot.stop(why)
        elif ticket in self._waiting:
            self._waiting.remove(ticket)
            self.finish(ticket, why)

    def _new_slot(self) -> ProcessSlot:
        if self._server is None:
            self._server = ForkServer(self._settings, passed_environment(os.environ, self._env))
            self.selector.register(self._server, selectors.EVENT_READ, self._hear_server)
        self._forked += 1
        slot = ProcessSlot(self._forked, self)
        try:
            self._server.fork(slot.number, slot.childs_fds)
        except OSError:
            slot.lost(_SHUTDOWN)
            self._kill_server()
            raise
        finally:
            slot.release_childs_fds()
        self._slots[slot.number] = slot
        return slot

    def _hear_server(self, _mask: int) -> None:
        messages = self._server.receive() if self._server else []
        if messages is None:
            return self._server_gone()
        for verb, number, *details in messages:
            slot = self._slots.get(number)
            if slot is None or verb == "signalled":
                continue
            if verb == "forked":
                slot.forked(*details)
                continue
            self._remove(slot)
            if verb == "exited":
                slot.exited(*details)
            else:
                slot.lost(_lost(*details))
        self._leave_when_empty()
        return self._begin_waiting()

    def _remove(self, slot: ProcessSlot) -> None:
        del self._slots[slot.number]
        if slot in self._idle:
            self._idle.remove(slot)

    def _server_gone(self) -> None:
        """Its children died with it; what is left of their trees is found by its mark. The next Run starts a new one."""
        if self._server is None:
            return
        server, self._server = self._server, None
        self.selector.unregister(server)
        server.bury()
        slots, self._slots, self._idle = list(self._slots.values()), {}, []
        if not self._closing:
            _log.warning("the fork server ended; %d runs are lost", sum(slot.ticket is not None for slot in slots))
        for slot in slots:
            slot.lost(_lost("the process that keeps the task processes died"))
        self._begin_waiting()

    def _kill_server(self) -> None:
        if self._server:
            self._server.kill()

    def _retire(self) -> None:
        self._idle = []
        for slot in self._slots.values():
            slot.retire()

    def _check_memory(self, now: float) -> None:
        watched = [slot for slot in self._slots.values() if slot.ticket and slot.ticket.job.memory_limit]
        for slot in watched:
            slot.check_memory()
        self._memory_at = now + MEMORY_CHECK_S if watched else NEVER

    def _close(self) -> None:
        self._closing = True
        while self._waiting:
            self.finish(self._waiting.popleft(), _SHUTDOWN)
        for slot in self._slots.values():
            slot.retire()
            slot.stop(_SHUTDOWN)
            slot.stop(_SHUTDOWN)
        self._leave_when_empty()

    def _leave_when_empty(self) -> None:
        if self._closing and self._server and not self._slots:
            self._server.hang_up()


def _lost(why: str) -> Outcome:
    return Outcome(Kind.LOST, error=Error("ProcessLost", why, bases=("ProcessLost", "Exception")))


def _guarded(callback: Callable[..., Any], *arguments: object) -> None:
    """A callback that raises must not end the thread that all Runs depend on."""
    try:
        callback(*arguments)
    except Exception:
        _log.exception("%r raised", callback)
