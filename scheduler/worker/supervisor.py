"""The supervisor keeps worker processes alive: it holds their leases, sees them die at once, and kills those that hang.

It runs no user code, so no task can starve it. ``step`` does one round; only ``run`` waits.
"""

import logging
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from scheduler.core.clock import monotonic
from scheduler.worker.page import Page
from scheduler.worker.sweeper import Leases

log = logging.getLogger("scheduler.supervisor")

STALLED_S = 60.0  # a worker that has not ticked for so long is killed
START_S = 60.0  # a worker may need so long to come up
OVERDUE_S = 0.6  # a deadline that the worker itself cannot enforce (its interpreter is blocked) is enforced from here
BLOCKED_S = 0.5
QUICK_DEATH_S = 5.0


class LeaseHolder(Protocol):
    """What the supervisor needs of the queue."""

    def beat(self, workers: Sequence[str], lease_ms: int) -> dict[str, bool]: ...

    def abandon(self, worker: str) -> None: ...


class WorkerProcess:
    """One worker process: its pipes, its page, and until when its lease can be trusted."""

    def __init__(self, name: str, config: str, trust_s: float) -> None:
        self.name = name
        self._trust_s = trust_s
        self.page = Page.create()
        self.started = monotonic()
        self.trusted_until = self.started + START_S + trust_s
        self.ready = False
        self.draining = False
        self._news, news_end = os.pipe()
        os.set_blocking(self._news, False)
        command = [sys.executable, "-m", "scheduler.worker_process", str(self.page.fd), str(news_end)]
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)  # where we were found, it is found
        # A process group of its own: Ctrl-C in the terminal is for the supervisor, which then stops us in order.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            pass_fds=(self.page.fd, news_end),
            process_group=0,
            env={**os.environ, "PYTHONPATH": path},
        )
        os.close(news_end)
        self.tell(config)

    def tell(self, line: str) -> None:
        """Send one line: the configuration first, then ``drain <seconds>``."""
        try:
            assert self.process.stdin is not None  # noqa: S101  # it was opened as a pipe
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            log.debug("%s does not listen any more", self.name)

    def hear(self) -> set[str]:
        """Words from the worker since the last time: ``ready``, ``recycle``, ``fenced``."""
        try:
            words = set(os.read(self._news, 4096).decode().split())
        except BlockingIOError:
            return set()
        if "ready" in words:
            self.ready = True
            self.trust_from(monotonic())
        return words

    def trust_from(self, sent: float) -> None:
        """Its lease was renewed by a call sent at ``sent``; our trust ends before the lease does."""
        self.trusted_until = sent + self._trust_s

    def kill(self) -> None:
        self.process.kill()

    def close(self) -> None:
        if self.process.stdin is not None:
            try:
                self.process.stdin.close()
            except OSError:
                log.debug("%s's pipe was broken already", self.name)
        os.close(self._news)
        self.page.close()


class Supervisor:
    """Keeps ``count`` workers running. ``config_of(name)`` is the line each process is built from; ``on_death`` rescues Runs at once."""

    def __init__(
        self,
        instance: str,
        config_of: Callable[[str], str],
        queue: LeaseHolder,
        on_death: Callable[[str], Any],
        leases: Leases = Leases(),
    ) -> None:
        self._instance = instance
        self._config_of = config_of
        self._queue = queue
        self._on_death = on_death
        self._leases = leases
        self._count = 0
        self._made = 0
        self._quick_deaths = 0
        self._spawn_at = 0.0
        self._beat_at = 0.0
        self.workers: dict[str, WorkerProcess] = {}

    def scale(self, count: int) -> None:
        """Keep so many workers from now on; surplus ones drain."""
        self._count = count

    def step(self) -> float:
        """One round: bury, replace, beat, watch. Returns the seconds to the next."""
        for worker in list(self.workers.values()):
            if worker.process.poll() is not None:
                self._bury(worker)
            elif "recycle" in worker.hear() and not worker.draining:
                self._retire(worker)
        self._match_count()
        self._beat()
        for worker in self.workers.values():
            self._watch(worker)
        return 0.1

    def drain(self, grace_s: float) -> None:
        """Stop all workers: they hand back what does not end within the grace."""
        self._count = 0
        for worker in self.workers.values():
            self._drain(worker, grace_s)

    def kill(self) -> None:
        """No more patience."""
        self._count = 0
        for worker in self.workers.values():
            worker.kill()

    def wait(self, seconds: float) -> None:
        """Sleep until a worker dies or the time is over."""
        with selectors.DefaultSelector() as selector:
            fds = [os.pidfd_open(w.process.pid) for w in self.workers.values() if w.process.returncode is None] if _PIDFD else []
            for fd in fds:
                selector.register(fd, selectors.EVENT_READ)
            selector.select(seconds)
            for fd in fds:
                os.close(fd)

    def _match_count(self) -> None:
        working = [worker for worker in self.workers.values() if not worker.draining]
        for worker in working[self._count :]:
            self._retire(worker)
        for _ in range(self._count - len(working)):
            if monotonic() >= self._spawn_at:
                self._spawn()

    def _spawn(self) -> None:
        self._made += 1
        name = f"{self._instance}.{self._made}"
        self.workers[name] = WorkerProcess(name, self._config_of(name), self._leases.trust_s)

    def _drain(self, worker: WorkerProcess, grace_s: float) -> None:
        worker.draining = True
        worker.tell(f"drain {grace_s}")

    def _retire(self, worker: WorkerProcess) -> None:
        """It ends with its last Run, in its own time."""
        worker.draining = True
        worker.tell("retire")

    def _bury(self, worker: WorkerProcess) -> None:
        """A worker has ended: its Runs are decided now, not when its lease runs out."""
        worker.hear()
        worker.close()
        del self.workers[worker.name]
        code = worker.process.returncode
        if code and not worker.draining:
            cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            log.warning("worker %s ended (%s)", worker.name, cause)
        quick = bool(code) and monotonic() - worker.started < QUICK_DEATH_S
        self._quick_deaths = self._quick_deaths + 1 if quick else 0
        if self._quick_deaths > 2:  # something is wrong with all of them: do not burn the machine on restarts
            self._spawn_at = monotonic() + min(30.0, 0.5 * 2 ** (self._quick_deaths - 3))
        try:
            self._queue.abandon(worker.name)
            self._on_death(worker.name)
        except Exception as error:
            log.warning("worker %s could not be reported dead (%s); its lease will tell", worker.name, error)

    def _beat(self) -> None:
        now = monotonic()
        ready = [worker for worker in self.workers.values() if worker.ready]
        if now < self._beat_at or not ready:
            return
        self._beat_at = now + self._leases.beat_ms / 1000
        try:
            answers = self._queue.beat([worker.name for worker in ready], self._leases.lease_ms)
        except Exception as error:
            log.debug("beat: %s", error)
            self._beat_at = now + min(0.2, self._leases.beat_ms / 1000)
            return
        for worker in ready:
            if answers[worker.name]:
                worker.trust_from(now)
            else:
                log.error("worker %s was declared dead by others; it is replaced", worker.name)
                worker.kill()

    def _watch(self, worker: WorkerProcess) -> None:
        """Kill what hangs, and what may no longer believe that its Runs are its own."""
        now = monotonic()
        tick, deadline = worker.page.read()
        if now > worker.trusted_until:
            log.error("no contact with the store for a lease: worker %s is stopped, its Runs will run elsewhere", worker.name)
        elif now - max(tick, worker.started) > STALLED_S:
            log.error("worker %s has not ticked for %d s: stalled", worker.name, STALLED_S)
        elif tick and now - tick > BLOCKED_S and now - deadline > OVERDUE_S:
            log.error("worker %s is blocked by a Run that is over its deadline", worker.name)
        else:
            return
        worker.kill()


_PIDFD = hasattr(os, "pidfd_open")
