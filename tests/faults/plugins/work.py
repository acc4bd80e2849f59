"""Tasks of the fault runs: honest work that leaves a line in the effect log at each step."""

import asyncio
import os
import signal

from scheduler import current_run, should_stop
from scheduler.core.clock import monotonic, now_ms, sleep


def note(phase: str) -> None:
    """One line, one write(2): concurrent writers never mix, and what was written survives any kill."""
    run = current_run()
    line = f"{now_ms()} {run.id} {run.token} {phase} {os.getpid()}\n"
    fd = os.open(os.path.join(os.environ["PYTHON_CLUSTER"], "effects.log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)  # noqa: PTH118  pathlib costs an import
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def nothing() -> None:
    note("start")


def quiet() -> None:
    """Not even a line: for measuring."""


def nap(seconds: float = 0.1) -> str:
    note("start")
    sleep(seconds)
    note("end")
    return current_run().id


async def doze(seconds: float = 0.1) -> str:
    note("start")
    await asyncio.sleep(seconds)
    note("end")
    return current_run().id


def pulse(seconds: float = 10.0, every: float = 0.05) -> None:
    """A body whose life can be seen in the log."""
    end = monotonic() + seconds
    note("start")
    while monotonic() < end:
        sleep(every)
        note("pulse")
    note("end")


async def apulse(seconds: float = 10.0, every: float = 0.05) -> None:
    end = monotonic() + seconds
    note("start")
    while monotonic() < end:
        await asyncio.sleep(every)
        note("pulse")
    note("end")


def until_told() -> None:
    """Ends as soon as the test says so; the second time it lasts, so that a late word about the first would do harm."""
    note("start")
    if current_run().token > 1:
        sleep(10)
    while not os.path.exists(os.path.join(os.environ["PYTHON_CLUSTER"], "enough")):  # noqa: PTH110, PTH118  as above
        sleep(0.02)
    note("end")


def polite() -> None:
    """Ends early when it is asked to, with its work half done."""
    note("start")
    while not should_stop():
        sleep(0.02)


async def apolite() -> None:
    note("start")
    while not should_stop():  # noqa: ASYNC110  a user's code looks now and then
        await asyncio.sleep(0.02)


def stubborn() -> None:
    """Ignores SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pulse(60)
