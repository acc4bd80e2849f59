"""Who used the processor: the measured system, the server, or somebody else; and waiting for a moment when nobody else does."""

import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple, Self

import psutil
from server import Server

QUIET_CORES = 0.25
CLEAN_CORES = 0.35


def busy_seconds() -> float:
    """Processor seconds spent by the whole machine since it started."""
    times = psutil.cpu_times()
    return float(sum(getattr(times, field, 0.0) for field in ("user", "system", "nice", "irq", "softirq", "steal")))


def family(processes: Iterable[subprocess.Popen[bytes]]) -> list[psutil.Process]:
    """These processes and all their descendants."""
    found = []
    for process in processes:
        with suppress(psutil.Error):
            parent = psutil.Process(process.pid)
            found += [parent, *parent.children(recursive=True)]
    return found


def cpu_seconds(processes: Iterable[subprocess.Popen[bytes]]) -> float:
    total = 0.0
    for process in family(processes):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def wait_until_quiet(patience_s: float) -> float:
    """The cores that others used in the last second, at most QUIET_CORES unless patience ended first."""
    deadline = time.monotonic() + patience_s
    while True:
        before, start = busy_seconds(), time.monotonic()
        time.sleep(1)
        cores = (busy_seconds() - before) / (time.monotonic() - start)
        if cores <= QUIET_CORES or time.monotonic() > deadline:
            return cores


class Reading(NamedTuple):
    """All meters at one moment; the difference of two says what happened in between. Seconds, and counts of the server."""

    at: float
    machine: float
    workers: float
    server: float
    commands: float

    @classmethod
    def take(cls, server: Server, workers: Iterable[subprocess.Popen[bytes]] = ()) -> Self:
        info = server.statistics.info()  # finer than the kernel's ticks
        used = info["used_cpu_user"] + info["used_cpu_sys"]
        return cls(time.monotonic(), busy_seconds(), cpu_seconds(workers), used, info["total_commands_processed"])

    def since(self, earlier: Self) -> Self:
        return type(self)(*(after - before for after, before in zip(self, earlier, strict=True)))

    @property
    def other_cores(self) -> float:
        """Of a difference: what neither the system nor the server used."""
        return max(0.0, self.machine - self.workers - self.server) / max(self.at, 1e-9)
