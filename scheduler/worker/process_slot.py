"""One slot child as the runner sees it: the Run it has, and what is to happen to it when."""

import os
import selectors
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Protocol

from scheduler.core.clock import monotonic
from scheduler.core.outcome import Error, Kind, Outcome
from scheduler.core.ports import Job
from scheduler.worker.capture import crashed, outcome_of_death, over_memory, timed_out
from scheduler.worker.channels import NEVER, Control, Output
from scheduler.worker.process_tree import tree_rss
from scheduler.worker.wire import pack

_STOP = pack("stop")
_SILENCE_S = 0.5  # between the end of a control channel and the end of its process, when all is well


class Patience(NamedTuple):
    """How long each step of an end may take, in ms. TERM and KILL count from the request to stop, or from the deadline."""

    term_ms: int = 1_000
    kill_ms: int = 1_800
    asked_kill_ms: int = 1_000  # where it was asked before: then TERM comes at once
    deadline_term_ms: int = 300
    deadline_kill_ms: int = 600
    linger_ms: int = 2_000  # for threads and children that outlive run()
    abandon_ms: int = 5_000  # after KILL: a process in an uninterruptible wait keeps its slot child, not its Run


class Ticket:
    """An attempt on its way through the runner, and the Handle of it. ``why`` is set once somebody wants it to end."""

    __slots__ = ("_desk", "asked", "done", "frame", "job", "slot", "why")

    def __init__(self, job: Job, frame: bytes, done: Callable[[Outcome], None], desk: "Desk") -> None:
        self.job = job
        self.frame = frame
        self.done = done
        self.slot: ProcessSlot | None = None
        self.why: Outcome | None = None
        self.asked: Outcome | None = None
        self._desk = desk

    def ask(self, why: Outcome) -> None:
        """See ``Handle``. Harmless after the end."""
        self.asked = why
        self._desk.request_ask(self)

    def stop(self, why: Outcome) -> None:
        """See ``Handle``; the second call kills at once. Harmless after the end."""
        self._desk.request_stop(self, why)

    def verdict(self, outcome: Outcome, *, noticed: bool) -> Outcome:
        """What holds when the Run ended by itself: one that was told to stop, never noticed and succeeded in time, succeeded."""
        why = self.why or (self.asked if noticed else None)
        if why is None or (outcome.kind is Kind.OK and not noticed and why.kind is not Kind.TIMED_OUT):
            return outcome
        return replace(why, duration_ms=outcome.duration_ms)


class Desk(Protocol):
    """Where any thread may leave a wish for a ticket."""

    def request_ask(self, ticket: Ticket) -> None: ...
    def request_stop(self, ticket: Ticket, why: Outcome) -> None: ...


class Host(Protocol):
    """What a slot needs of the runner; everything happens on the runner's one thread."""

    selector: selectors.DefaultSelector
    patience: Patience
    output_cap: int

    def signal(self, slot: "ProcessSlot", number: int) -> None: ...
    def output(self, run_id: str, data: bytes) -> None: ...
    def progress(self, run_id: str, percent: int, message: str) -> None: ...
    def finish(self, ticket: Ticket, outcome: Outcome) -> None: ...
    def rest(self, slot: "ProcessSlot") -> None: ...
    def begin(self, ticket: Ticket) -> None: ...


class ProcessSlot:
    """A child from the request to fork it until it is reported gone. ``spent``: it takes no further Run."""

    def __init__(self, number: int, host: Host) -> None:
        self.number = number
        self.pid = 0
        self.ticket: Ticket | None = None
        self.spent = False
        self._host = host
        self._used = 0
        self._doomed = False
        self._started = 0.0
        self._outcome: Outcome | None = None  # known, and given out when the process is gone
        self._plan: list[tuple[float, Callable[[], None]]] = []  # what happens when, unless something happens before
        self._control = Control(host.selector, self._on_message, self._on_silence)
        try:
            self._output = Output(host.selector, self._on_output, host.output_cap)
        except OSError:
            self._control.theirs.close()
            self._control.close()
            raise

    @property
    def due(self) -> float:
        """When ``act`` wants to be called (``monotonic`` seconds)."""
        return min(self._plan[0][0] if self._plan else NEVER, self._output.resume_at)

    @property
    def childs_fds(self) -> Sequence[int]:
        """What the child shall own; ``release_childs_fds`` when it does."""
        return self._control.theirs.fileno(), self._output.theirs

    def begin(self, ticket: Ticket) -> None:
        """Give it the Run. The deadline counts from here, or from the birth of the process when that is later."""
        ticket.slot, self.ticket = self, ticket
        self._used += 1
        self._output.restart()
        self._control.send(ticket.frame)
        self._arm()

    def forked(self, pid: int) -> None:
        self.pid = pid
        if self.ticket and not self.ticket.why:
            self._arm()

    def ask(self) -> None:
        """Only tell it."""
        if self.ticket and self._outcome is None:
            self._control.send(_STOP)

    def stop(self, why: Outcome) -> None:
        """Ask first, then TERM, then KILL; asked a second time, KILL. Too late once the Run has returned."""
        if self.ticket is None or self._outcome is not None:
            return
        patience = self._host.patience
        if self.ticket.why:
            self._kill_in(0)
        elif self.ticket.asked:
            self._end_with(why, 0, patience.asked_kill_ms)
        else:
            self._end_with(why, patience.term_ms, patience.kill_ms)

    def retire(self) -> None:
        """Let it leave now when idle, after its Run when busy."""
        self.spent = True
        if self.ticket is None:
            self._control.hang_up()
            self._kill_in(self._host.patience.linger_ms)

    def check_memory(self) -> None:
        """End the Run at once when its tree is over its limit: seconds later the machine may be."""
        ticket = self.ticket
        if ticket and ticket.job.memory_limit and self.pid and not self._outcome and not self._doomed:
            used = tree_rss(self.pid)
            if used > ticket.job.memory_limit:
                self._doomed = True
                ticket.why = ticket.why or over_memory(used, ticket.job.memory_limit)
                self._kill_in(0)

    def act(self, now: float) -> None:
        """Do what is due."""
        if self._output.resume_at <= now:
            self._output.resume()
        while self._plan and self._plan[0][0] <= now:
            self._plan.pop(0)[1]()

    def exited(self, exit_code: int, peak_bytes: int) -> None:
        """The process and all its orphans are gone. What it said before that is still in the channels."""
        self.spent = True
        self._control.drain()
        self._close()
        if self.ticket and self._never_began():
            self._host.begin(self.ticket)
        else:
            self._settle(outcome_of_death(exit_code, peak_bytes))

    def lost(self, outcome: Outcome) -> None:
        """The fork server died, and the child with it."""
        self.spent = True
        self._close()
        self._settle(outcome)

    def release_childs_fds(self) -> None:
        self._control.theirs.close()
        os.close(self._output.theirs)

    def _arm(self) -> None:
        self._started = monotonic()
        self._plan = []
        if self.ticket and self.ticket.job.timeout_ms is not None and self.pid:
            job, timeout_ms = self.ticket.job, self.ticket.job.timeout_ms
            self._plan = [(self._started + timeout_ms / 1000, partial(self._over_deadline, job, timeout_ms))]

    def _over_deadline(self, job: Job, timeout_ms: int) -> None:
        patience = self._host.patience
        self._end_with(timed_out(job.task, timeout_ms), patience.deadline_term_ms, patience.deadline_kill_ms)

    def _end_with(self, why: Outcome, term_ms: int, kill_ms: int) -> None:
        if self.ticket:
            self.ticket.why = why
            self._control.send(_STOP)
            self._kill_in(kill_ms)
            self._plan.insert(0, (monotonic() + term_ms / 1000, partial(self._host.signal, self, signal.SIGTERM)))

    def _kill_in(self, delay_ms: int) -> None:
        when = monotonic() + delay_ms / 1000
        abandon = when + self._host.patience.abandon_ms / 1000
        self._plan = [(when, partial(self._host.signal, self, signal.SIGKILL)), (abandon, self._abandon)]

    def _abandon(self) -> None:
        self.spent = True
        self._settle(outcome_of_death(-signal.SIGKILL, 0))

    def _on_output(self, data: bytes) -> None:
        if self.ticket:
            self._host.output(self.ticket.job.run, data)

    def _on_message(self, message: Any) -> None:
        """ValueError for what no child of ours says."""
        match message:
            case ["progress", int(percent), str(text)]:
                if self.ticket and not self._outcome:
                    self._host.progress(self.ticket.job.run, percent, text)
            case ["end", bool(reusable), bool(noticed), int() | float() as duration_ms, *fields]:
                self._on_end(_outcome(fields, duration_ms), reusable, noticed)
            case _:
                raise ValueError("an unknown message")

    def _on_end(self, outcome: Outcome, reusable: bool, noticed: bool) -> None:
        """``run()`` has returned. A process that cannot go on has a moment to finish what it left running."""
        if self.ticket is None or self._outcome is not None:
            return
        outcome = self.ticket.verdict(outcome, noticed=noticed)
        self._plan = []
        self._output.drain()
        if reusable:
            self._give(outcome)
            self._host.rest(self)
        else:
            self._outcome, self.spent = outcome, True
            self._kill_in(self._host.patience.linger_ms)

    def _on_silence(self, wrong: str) -> None:
        """Its end of the control channel is closed. Normally the news of its death follows; if not, it is brought about."""
        self.spent = True
        if self._outcome is None and not (self.ticket and self.ticket.why):
            delay_s = 0.0 if wrong else _SILENCE_S
            self._plan = [(monotonic() + delay_s, partial(self._kill_as, wrong or "closed its control channel"))]

    def _kill_as(self, what: str) -> None:
        self._outcome = crashed(what)
        self._kill_in(0)

    def _never_began(self) -> bool:
        """A process that died idle, just as it was given its next Run: the Run is not to blame."""
        return self._used > 1 and self._control.unread and not self._outcome and not (self.ticket and self.ticket.why)

    def _settle(self, otherwise: Outcome) -> None:
        if self.ticket:
            self._give(self._outcome or self.ticket.why or otherwise)

    def _give(self, outcome: Outcome) -> None:
        ticket, self.ticket = self.ticket, None
        if ticket:
            ticket.slot = None
            elapsed_ms = outcome.duration_ms or (monotonic() - self._started) * 1000
            self._host.finish(ticket, outcome if outcome.duration_ms else replace(outcome, duration_ms=elapsed_ms))

    def _close(self) -> None:
        self._plan = []
        self._output.drain()
        self._output.close()
        self._control.close()


def _outcome(fields: Sequence[Any], duration_ms: float) -> Outcome:
    """What a child says of the end of its Run; ValueError for what no child of ours says."""
    match fields:
        case [str(kind), str(result), error, str(reason), int(retry_after_ms)]:
            return Outcome(Kind(kind), result, _error(error) if error else None, reason, retry_after_ms, duration_ms)
    raise ValueError("an unknown end")


def _error(fields: Sequence[Any]) -> Error:
    name, message, traceback, bases = fields
    return Error(name, message, traceback, tuple(bases))
