"""What runs in a slot child: it takes one Run after another from its control channel and answers with how each ended."""

import atexit
import contextvars
import logging
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import CoroutineType
from typing import Any, NoReturn

from scheduler.core.clock import monotonic, perf_counter
from scheduler.core.context import current_attempt
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.ports import Job, Resolver
from scheduler.worker.capture import outcome_of_exception, outcome_of_result
from scheduler.worker.context import RunContext, StopFlag, enter
from scheduler.worker.footprint import Footprint
from scheduler.worker.wire import LineBuffer, outcome_fields, pack

MAX_RUNS = 200  # then a new process takes over: leaks of plugins stay bounded
OVERDUE_S = 1.0  # past its deadline a Run is ended by the kernel, if the worker is too busy to do it
PROGRESS_S = 0.1  # between two reports; the newest of a burst is sent at the end


def live(control: socket.socket, open_resolver: Callable[[], Resolver]) -> NoReturn:
    """The whole life of a slot child."""
    _use_pipe_for_output()
    with suppress(OSError):  # the runner is gone: so are we
        Child(Channel(control), open_resolver).serve()
    _leave()


class Channel:
    """The child's end of the control socket. Blocking; ``send`` is safe from any thread."""

    def __init__(self, control: socket.socket) -> None:
        self._socket = control
        self._buffer = LineBuffer()
        self._messages: list[Any] = []
        self._lock = threading.Lock()

    def receive(self) -> Any:
        """The next message; None when the runner has hung up."""
        while not self._messages:
            data = self._socket.recv(65536)
            if not data:
                return None
            self._messages = self._buffer.feed(data)
        return self._messages.pop(0)

    def send(self, message: Any) -> None:
        with self._lock:
            self._socket.sendall(pack(message))

    def pending(self) -> bool:
        """Whether ``receive`` would return at once."""
        return bool(self._messages or select.select([self._socket], [], [], 0)[0])


class Stop(StopFlag):
    """Set as soon as the runner says anything during a Run. Looked up when asked: no listening thread, no signal handler in user code."""

    __slots__ = ("_channel",)

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def is_set(self) -> bool:
        if not self.on and self._channel.pending():
            self.set()
        return super().is_set()


class Progress:
    """What a Run reports of itself, at most ten times a second; ``flush`` sends the last one held back."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._next = 0.0
        self._held: list[Any] = []

    def __call__(self, percent: int, message: str) -> None:
        self._held = ["progress", percent, message[:500]]
        if monotonic() >= self._next:
            self.flush()

    def flush(self) -> None:
        held, self._held = self._held, []
        if held:
            self._next = monotonic() + PROGRESS_S
            self._channel.send(held)


class Child:
    """Serves Runs until it is disturbed, worn out, told to leave, or a Run wants it alone."""

    def __init__(self, channel: Channel, open_resolver: Callable[[], Resolver]) -> None:
        self._channel = channel
        self._open_resolver = open_resolver
        self._pid = os.getpid()
        self._footprint = Footprint()
        self._runs_left = MAX_RUNS

    def serve(self) -> None:
        reusable = True
        while reusable and (message := self._channel.receive()) is not None:
            if isinstance(message, list):  # else a word about a Run that has already ended
                reusable = self._run(Job(*message))

    def _run(self, job: Job) -> bool:
        """One Run; whether this process may take another."""
        self._runs_left -= 1
        os.environ.update(job.env)
        progress = Progress(self._channel)
        context = RunContext(job, progress, Stop(self._channel))  # no place for output: it goes through the pipe
        started = perf_counter()
        outcome = contextvars.copy_context().run(self._call, job, context)
        outcome = replace(outcome, duration_ms=(perf_counter() - started) * 1000)
        if os.getpid() != self._pid:  # run() forked, and the copy came back here: it must not speak for the Run
            os._exit(0 if outcome.kind is Kind.OK else 1)
        _flush()
        progress.flush()
        reusable = not (job.fresh or job.env or self._footprint.disturbed()) and self._runs_left > 0
        self._channel.send(["end", reusable, context.stop.noticed, *outcome_fields(outcome)])
        return reusable

    def _call(self, job: Job, context: RunContext) -> Outcome:
        enter(context)
        current_attempt.set((job.attempt, job.max_attempts))
        try:
            func = self._open_resolver()(job.target)
            with _term_raises(), _alarm(job.timeout_ms):
                value = func(**job.params)
                if isinstance(value, CoroutineType):
                    import asyncio  # 50 ms that plain functions need not pay

                    value = asyncio.run(value)
        except Terminated:
            _flush()
            os.kill(os.getpid(), signal.SIGTERM)  # what it held is released; the rest is as if TERM had ended us at once
        except BaseException as error:  # SystemExit and KeyboardInterrupt too: whatever it is, it ends the Run and no more
            return outcome_of_exception(error)
        return outcome_of_result(value)


class Terminated(BaseException):
    """Raised in a Run that is made to end: what it holds is released while there is time, before KILL."""


@contextmanager
def _term_raises() -> Iterator[None]:
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is _raise_terminated:  # else it is the Run's own
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _alarm(timeout_ms: int | None) -> Iterator[None]:
    """SIGALRM ends the process by itself: nobody's interpreter has to be free for it."""
    if timeout_ms is None:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, timeout_ms / 1000 + OVERDUE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _raise_terminated(*_: object) -> NoReturn:
    raise Terminated


def _use_pipe_for_output() -> None:
    """Lines go out as they are written, whatever is in them; log records go the same way."""
    sys.stdout, sys.stderr = (open(fd, "w", 1, "utf-8", "backslashreplace", closefd=False) for fd in (1, 2))  # noqa: SIM115  for life
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed or replaced by the Run
            stream.flush()


def _leave() -> NoReturn:
    """End as an interpreter would, without taking the modules apart; the runner gives us two seconds for it."""
    try:
        for thread in threading.enumerate():
            if thread is not threading.main_thread() and not thread.daemon:
                thread.join()
        atexit._run_exitfuncs()  # noqa: SLF001  as multiprocessing does it; its own hook joins its children, others flush
        _flush()
    finally:
        os._exit(0)
