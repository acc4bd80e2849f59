"""What user code can ask while it runs: which Run it is, whether to stop, where to report progress."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from typing import Any

from scheduler.core.ports import Job

Report = Callable[[int, str], None]
Write = Callable[[bytes], None]
OpenOutput = Callable[[], Write]


class StopFlag:
    """Whether the Run was told to stop, and whether its code has looked since: one that never looked finished by itself."""

    __slots__ = ("noticed", "on")

    def __init__(self) -> None:
        self.on = False
        self.noticed = False

    def set(self) -> None:
        self.on = True

    def is_set(self) -> bool:
        if self.on:
            self.noticed = True
        return self.on


class RunContext:
    """The running attempt, seen from inside. ``upstream`` holds results of parents, ``gpu`` the UUIDs of its cards."""

    __slots__ = ("_job", "_open_output", "_report", "_write", "stop", "upstream")

    def __init__(self, job: Job, report: Report, stop: StopFlag, open_output: OpenOutput | None = None) -> None:
        self._job = job
        self._report = report
        self.stop = stop
        self._open_output = open_output  # None where the process's own output is captured
        self._write: Write | None = None
        self.upstream: Mapping[str, Any] = {}

    @property
    def id(self) -> str:
        """The Run's id, the same in every attempt: use it as an idempotency key towards other systems."""
        return self._job.run

    @property
    def task(self) -> str:
        return self._job.task

    @property
    def attempt(self) -> int:
        """From 1."""
        return self._job.attempt

    @property
    def token(self) -> int:
        """Grows with every claim: write it beside an effect and refuse smaller ones, and a lost worker cannot overwrite its successor."""
        return self._job.token

    @property
    def scheduled_at(self) -> datetime | None:
        """The nominal instant of the fire (UTC); None for a Run that was submitted."""
        ms = self._job.scheduled_ms
        return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)

    @property
    def gpu(self) -> list[str]:
        """UUIDs of the cards reserved for this attempt."""
        return [uuid for uuid in self._job.env.get("CUDA_VISIBLE_DEVICES", "").split(",") if uuid]

    @property
    def log(self) -> logging.Logger:
        """A logger whose lines land in the log of this Run."""
        return logging.getLogger(f"run.{self._job.task}")

    def write(self, data: bytes) -> bool:
        """Add captured output to the Run's log; False when somebody else captures it."""
        if self._write is None:
            if self._open_output is None:
                return False
            self._write = self._open_output()
        self._write(data)
        return True

    def progress(self, percent: float, message: str = "") -> None:
        """Report 0–100; shown live, stored at most once a second."""
        self._report(max(0, min(100, round(percent))), message)


_current: ContextVar[RunContext | None] = ContextVar("scheduler_run", default=None)


def enter(context: RunContext) -> Token[RunContext | None]:
    """Make ``context`` the current Run of this thread, task or process; give the token back to ``leave``."""
    return _current.set(context)


def leave(token: Token[RunContext | None]) -> None:
    _current.reset(token)


@contextmanager
def inside(context: RunContext) -> Iterator[None]:
    """This Run for the length of a block."""
    token = enter(context)
    try:
        yield
    finally:
        leave(token)


def current_run() -> RunContext:
    """The Run that this code belongs to; RuntimeError outside of one."""
    context = _current.get()
    if context is None:
        raise RuntimeError("current_run() only works inside a Run; call it from run() or what run() calls")
    return context


def running() -> RunContext | None:
    """The current Run, or None outside of one."""
    return _current.get()


def should_stop() -> bool:
    """True once the Run was cancelled, is over its deadline, or the worker shuts down; False outside of a Run."""
    context = _current.get()
    return context is not None and context.stop.is_set()
