"""A slot child as the thread that looks after it sees it: give it Runs, hear how they end, and see to it that it ends itself."""

import json
import os
import select
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from queue import SimpleQueue
from typing import Any, NamedTuple

from scheduler.core.clock import monotonic, sleep
from scheduler.core.outcome import Outcome
from scheduler.core.ports import Job
from scheduler.worker.capture import crashed, holds_against, lost, outcome_of_death, over_memory, timed_out
from scheduler.worker.forkserver import ForkServer
from scheduler.worker.process_tree import tree_rss
from scheduler.worker.wire import LineBuffer, outcome_of_fields, pack

MEMORY_CHECK_S = 0.25
_STOP = pack("stop")
_CHUNK = 64 * 1024
_ANSWER_LIMIT = 4 * 1024 * 1024  # bytes of one line from a child: a result and an error fit many times
_SEND_S = 10.0  # for a child to take what does not fit into its socket
_SILENCE_MS = 500  # between the end of a control channel and the end of its process, when all is well
_TRICKLE_S = 0.005  # between two chunks of output over the cap
_NEVER = float("inf")
_UNKNOWN = lost("nobody knows how it ended")


class Patience(NamedTuple):
    """How long each step of an end may take, in ms. TERM and KILL count from the request to stop, or from the deadline."""

    term_ms: int = 1_000
    kill_ms: int = 1_800
    asked_kill_ms: int = 1_000  # where it was asked before: then TERM comes at once
    deadline_term_ms: int = 300
    deadline_kill_ms: int = 600
    linger_ms: int = 2_000  # for threads and children that outlive run()
    abandon_ms: int = 5_000  # after KILL: a process in an uninterruptible wait keeps its slot child, not its Run


class Terms(NamedTuple):
    """What holds for all slots of a runner; the functions must not raise."""

    patience: Patience
    output_cap: int  # bytes a Run
    on_output: Callable[[str, bytes], None]
    on_progress: Callable[[str, int, str], None]
    on_end: "Callable[[Ticket, Outcome], None]"  # may be called again: the first word counts


class Ticket:
    """An attempt on its way through the runner, and the Handle of it. One that is asked or stopped before it begins never begins."""

    def __init__(self, job: Job, terms: Terms) -> None:
        self.job = job
        self.frame = pack(job)
        self.asked: Outcome | None = None  # what holds if its code heeds that
        self.why: Outcome | None = None  # what holds, for it is made to end
        self.said: Outcome | None = None  # by its child
        self.slot: ProcessSlot | None = None
        self.began = monotonic()
        self.printed = 0  # bytes
        self.over = threading.Event()
        self._terms = terms

    def ask(self, why: Outcome) -> None:
        """See ``Handle``."""
        self.asked = why
        if self.slot:
            self.slot.ask(self)

    def stop(self, why: Outcome) -> None:
        """See ``Handle``; the second call kills at once."""
        patience = self._terms.patience
        if self.asked:
            self.put_down(why, 0, patience.asked_kill_ms)
        else:
            self.put_down(why, patience.term_ms, patience.kill_ms)

    def put_down(self, why: Outcome, term_ms: int, kill_ms: int) -> None:
        if self.why:
            term_ms = kill_ms = 0
        self.why = self.why or why
        if self.slot:
            threading.Thread(target=self.slot.put_down, args=(self, term_ms, kill_ms), daemon=True).start()

    def hear(self, outcome: Outcome, *, noticed: bool) -> None:
        """It ended by itself."""
        why = self.why or (self.asked if noticed else None)
        if why is None or holds_against(why, outcome, noticed=noticed):
            self.said = outcome
        else:
            self.said = replace(why, duration_ms=outcome.duration_ms)

    def settle(self, otherwise: Outcome = _UNKNOWN) -> None:
        """Tell how it ended; ``otherwise`` if nobody has said so."""
        outcome = self.said or self.why or otherwise
        self.over.set()
        self._terms.on_end(self, replace(outcome, duration_ms=outcome.duration_ms or (monotonic() - self.began) * 1000))


class ProcessSlot:
    """A child from its fork until it is gone. One thread looks after it; any may use ``inbox``, ``ask`` and ``put_down``."""

    def __init__(self, server: ForkServer, terms: Terms) -> None:
        """OSError as in ``ForkServer.fork``."""
        self.inbox: SimpleQueue[Ticket | None] = SimpleQueue()
        self._server = server
        self._terms = terms
        self._pid, self._control, self._output, self._status = server.fork()
        self._control.settimeout(_SEND_S)
        self._holding = threading.Lock()  # while it is held, the child has this Run and no other:
        self._ticket: Ticket | None = None
        self._runs = 0
        self._fit = True  # to take a Run
        self._signalled = False  # a signal may still be on its way, and must not meet another Run
        self._silent = ""  # why it will say no more
        self._unread = False  # by the child: not all that was sent
        self._death: Outcome | None = None
        self._buffer = LineBuffer(_ANSWER_LIMIT)
        self._poll = select.poll()
        self._readers = {self._control.fileno(): self._read_control, self._output: self._read_output, self._status: self._read_status}
        for fd in self._readers:
            self._poll.register(fd, select.POLLIN)

    def attend(self, ticket: Ticket) -> bool:
        """Give the child a Run and hear it out; whether it can take another."""
        self._drain()
        self._unread = not self._fit  # it has died idle
        self._runs += 1
        ticket.slot, ticket.began = self, monotonic()
        with self._holding:
            ticket.said = ticket.why or ticket.asked
            if self._fit and not ticket.said:
                self._ticket = ticket
                self._send(ticket.frame)
        self._hear_out(ticket)
        self._drain()
        with self._holding:
            self._ticket = None
        return self._fit and not self._signalled

    def ask(self, ticket: Ticket) -> None:
        """Let the Run know that it should stop, if it is still this one."""
        self._unless_over(ticket, 0, self._control.sendall, _STOP)

    def put_down(self, ticket: Ticket, term_ms: int, kill_ms: int) -> None:
        """Ask the Run to stop, then TERM, then KILL, and in the end give it up. Takes its time."""
        self.ask(ticket)
        self._unless_over(ticket, term_ms, self._signal, signal.SIGTERM)
        self._unless_over(ticket, kill_ms - term_ms, self._signal, signal.SIGKILL)
        self._unless_over(ticket, self._terms.patience.abandon_ms, ticket.settle, _UNKNOWN)

    def see_off(self, ticket: Ticket | None) -> Ticket | None:
        """Stay until the process and all its orphans are gone, and settle its last Run; one that it never began is given back."""
        fault = None
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
        self._stay(_SILENCE_MS if self._silent else self._terms.patience.linger_ms)
        if not self._death:
            fault = crashed(self._silent) if self._silent else None
            self._signal(signal.SIGKILL)
            self._stay(self._terms.patience.abandon_ms)
        if ticket and not self._death:
            ticket.settle(fault or _UNKNOWN)
            ticket = None
        self._stay(_NEVER)
        self._drain()
        self.close()
        if ticket and self._runs > 1 and self._unread and not (ticket.said or ticket.why):
            return ticket  # it did not even take the Run: that is not to blame
        if ticket:
            ticket.settle(fault or self._death or _UNKNOWN)
        return None

    def give_up(self) -> None:
        """Leave the child to the fork server."""
        self._signal(signal.SIGKILL)
        self.close()

    def close(self) -> None:
        self._control.close()
        os.close(self._output)
        os.close(self._status)

    def _unless_over(self, ticket: Ticket, delay_ms: int, action: Callable[[Any], None], argument: Any) -> None:
        ticket.over.wait(delay_ms / 1000)
        with self._holding, suppress(OSError):
            if self._ticket is ticket:
                action(argument)

    def _signal(self, number: int) -> None:
        self._signalled = True
        self._server.signal(self._pid, number)

    def _hear_out(self, ticket: Ticket) -> None:
        """Until it has said how the Run ended, or will not say."""
        job, patience = ticket.job, self._terms.patience
        deadline = _NEVER if job.timeout_ms is None else ticket.began + job.timeout_ms / 1000
        check_at = ticket.began + MEMORY_CHECK_S if job.memory_limit else _NEVER
        while self._fit and not ticket.said:
            self._step(min(deadline, check_at))
            now = monotonic()
            if now >= deadline:
                deadline = _NEVER
                if not ticket.why:
                    ticket.put_down(timed_out(job.task, job.timeout_ms), patience.deadline_term_ms, patience.deadline_kill_ms)
            if now >= check_at:
                check_at = now + MEMORY_CHECK_S
                self._check_memory(ticket, job.memory_limit or 0)

    def _check_memory(self, ticket: Ticket, limit: int) -> None:
        """End the Run at once when its tree is over its limit: seconds later the machine may be."""
        used = tree_rss(self._pid)
        if used > limit:
            ticket.put_down(over_memory(used, limit), 0, 0)

    def _stay(self, longest_ms: float) -> None:
        """Until the process is gone, but not longer."""
        until = monotonic() + longest_ms / 1000
        while not self._death and monotonic() < until:
            self._step(until)

    def _drain(self) -> None:
        """Take what there is; a writer that goes on is not followed."""
        for _ in range(16):
            if not self._step(0):
                return

    def _step(self, until: float) -> bool:
        """Wait for the child, until then at the longest, and take what it says; whether it said anything."""
        wait_s = min(max(until - monotonic(), 0), 3600)
        ready = self._poll.poll(wait_s * 1000)
        for fd, _ in ready:
            self._readers[fd]()
        return bool(ready)

    def _send(self, frame: bytes) -> None:
        try:
            self._control.sendall(frame)
        except OSError:
            self._fit, self._unread, self._silent = False, True, "did not take its Run"

    def _read_control(self) -> None:
        try:
            data = self._control.recv(_CHUNK)
        except OSError:  # Linux: reset, because unread data was thrown away with the other end
            data, self._unread = b"", True
        try:
            for message in self._buffer.feed(data):
                self._hear(message)
        except (ValueError, TypeError, RecursionError) as error:
            data, self._silent = b"", f"broke its control channel: {error}"
        if not data:
            self._fit, self._silent = False, self._silent or "closed its control channel"
            self._poll.unregister(self._control)

    def _hear(self, message: Any) -> None:
        """ValueError for what no child of ours says."""
        match message:
            case ["progress", int(percent), str(text)]:
                if self._ticket and not self._ticket.said:
                    self._terms.on_progress(self._ticket.job.run, percent, text)
            case ["end", bool(reusable), bool(noticed), *fields]:
                outcome = outcome_of_fields(fields)
                if self._ticket and not self._ticket.said:
                    self._ticket.hear(outcome, noticed=noticed)
                    self._fit = reusable
            case _:
                raise ValueError("an unknown message")

    def _read_output(self) -> None:
        data = os.read(self._output, _CHUNK)
        if not data:
            self._poll.unregister(self._output)
        elif self._ticket and not self._ticket.over.is_set():
            self._ticket.printed += len(data)
            self._terms.on_output(self._ticket.job.run, data)
            if self._ticket.printed > self._terms.output_cap:
                sleep(_TRICKLE_S)  # a flood slows down its source alone

    def _read_status(self) -> None:
        self._fit = False
        data = os.read(self._status, _CHUNK)
        self._poll.unregister(self._status)
        if not data:
            self._server.bury()
        self._death = outcome_of_death(*json.loads(data)) if data else lost("the process that keeps the task processes died")
