"""The supervisor keeps worker processes alive: it holds their leases, sees them die at once, and kills those that hang.

It runs no user code, so no task can starve it. ``step`` does one round; only ``run`` waits.
"""

import logging
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Protocol

from scheduler.core.clock import monotonic
from scheduler.worker.capture import signal_name
from scheduler.worker.page import Page
from scheduler.worker.sweeper import Leases

log = logging.getLogger("scheduler.supervisor")

STALLED_S = 60.0  # a worker that has not ticked for so long, or not come up, is killed
OVERDUE_S = 0.6  # a deadline that the worker itself cannot enforce (its interpreter is blocked) is enforced from here
BLOCKED_S = 0.5
QUICK_DEATH_S = 5.0
AGAIN_S = 2.0


class LeaseHolder(Protocol):
    """What the supervisor needs of the queue."""

    def beat(self, workers: Sequence[str], lease_ms: int) -> dict[str, bool]: ...

    def abandon(self, worker: str) -> None: ...


class WorkerProcess:
    """One worker process: its pipes, its page, and until when its lease can be trusted."""

    def __init__(self, name: str, plan: str) -> None:
        """OSError when it cannot be started."""
        self.name = name
        self.started = monotonic()
        self.ready = self.draining = self.disowned = self.condemned = False
        with ExitStack() as undo:
            self.page = Page.create()
            undo.callback(self.page.close)
            self._news, news_end = os.pipe()
            undo.callback(os.close, self._news)
            os.set_blocking(self._news, False)
            with os.fdopen(news_end, "wb"), tempfile.TemporaryFile() as plan_file:
                plan_file.write(plan.encode())
                plan_file.seek(0)
                self.process = _start(self.page.fd, news_end, plan_file.fileno())
            undo.pop_all()
        self.trusted_until = 0.0  # nothing is known yet; its own trust begins when it enrolls

    def tell(self, line: str) -> None:
        """Send one line: ``drain <seconds>`` or ``retire``."""
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
        self.ready = self.ready or "ready" in words
        return words

    def has_ended(self) -> bool:
        """Whether it has; then what its Runs in threads have started ends too, while its number is still its own."""
        if _exited(self.process.pid):
            self.kill()
        return self.process.poll() is not None

    def kill(self) -> None:
        """Not by ``Popen.kill``: that would bury one which has just ended, and its number with it."""
        self.condemned = True
        if self.process.returncode is None:
            with suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        if self.process.stdin is not None:
            try:
                self.process.stdin.close()
            except OSError:
                log.debug("%s's pipe was broken already", self.name)
        os.close(self._news)
        self.page.close()


def _start(*fds: int) -> "subprocess.Popen[bytes]":
    """A process group of its own: Ctrl-C in the terminal is for the supervisor, which then stops us in order."""
    command = [sys.executable, "-m", "scheduler.worker_process", *map(str, fds), str(os.getpid())]
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)  # where we were found, it is found
    return subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=fds, process_group=0, env={**os.environ, "PYTHONPATH": path})


def _exited(pid: int) -> bool:
    """Whether a child has ended, without burying it."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except (AttributeError, ChildProcessError):  # no such call on macOS
        return False


class Supervisor:
    """Keeps ``count`` workers running. ``plan_of(name)`` is the text each process is built from; ``on_death`` rescues Runs at once.

    ``beat`` is for a thread of its own, and deaths are reported in another: a store that is slow to answer keeps nobody from watching.
    All else is for the thread that lives as long as the workers shall: they die with it.
    """

    def __init__(
        self,
        instance: str,
        plan_of: Callable[[str], str],
        queue: LeaseHolder,
        on_death: Callable[[str], Any],
        leases: Leases = Leases(),
    ) -> None:
        self._instance = instance
        self._plan_of = plan_of
        self._queue = queue
        self._on_death = on_death
        self._leases = leases
        self._count = 0
        self._made = 0
        self._quick_deaths = 0
        self._spawn_at = 0.0
        self._reports = ThreadPoolExecutor(1, "report")
        self.workers: dict[str, WorkerProcess] = {}

    def scale(self, count: int) -> None:
        """Keep so many workers from now on; surplus ones drain."""
        self._count = count

    def step(self) -> float:
        """One round: bury, replace, watch. Returns the seconds to the next."""
        for worker in list(self.workers.values()):
            if worker.has_ended():
                self._bury(worker)
            elif "recycle" in worker.hear() and not worker.draining:
                self._retire(worker)
        self._match_count()
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

    def close(self) -> None:
        """All have ended; the last death is reported."""
        self._reports.shutdown()

    def wait(self, seconds: float) -> None:
        """Sleep until a worker dies or the time is over."""
        with ExitStack() as opened:
            selector = opened.enter_context(selectors.DefaultSelector())
            for worker in self.workers.values() if _PIDFD else ():
                fd = os.pidfd_open(worker.process.pid)
                opened.callback(os.close, fd)
                selector.register(fd, selectors.EVENT_READ)
            selector.select(seconds)

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
        try:
            self.workers[name] = WorkerProcess(name, self._plan_of(name))
        except OSError as error:
            log.error("a worker cannot be started, tried again in %d s: %s", AGAIN_S, error)  # noqa: TRY400  # the message has it all
            self._spawn_at = monotonic() + AGAIN_S

    def _drain(self, worker: WorkerProcess, grace_s: float) -> None:
        worker.draining = True
        worker.tell(f"drain {grace_s}")

    def _retire(self, worker: WorkerProcess) -> None:
        """It ends with its last Run, in its own time."""
        worker.draining = True
        worker.tell("retire")

    def _bury(self, worker: WorkerProcess) -> None:
        """A worker has ended."""
        del self.workers[worker.name]
        worker.close()
        code = worker.process.returncode
        if code and not worker.draining:
            cause = signal_name(-code) if code < 0 else f"exit code {code}"
            log.warning("worker %s ended (%s)", worker.name, cause)
        quick = bool(code) and monotonic() - worker.started < QUICK_DEATH_S
        self._quick_deaths = self._quick_deaths + 1 if quick else 0
        if self._quick_deaths > 2:  # something is wrong with all of them: do not burn the machine on restarts
            self._spawn_at = monotonic() + min(30.0, 0.5 * 2 ** (self._quick_deaths - 3))
        self._reports.submit(self._report, worker.name)

    def _report(self, name: str) -> None:
        """Its Runs are decided now, not when its lease runs out."""
        try:
            self._queue.abandon(name)
            self._on_death(name)
        except Exception as error:
            log.warning("worker %s could not be reported dead (%s); its lease will tell", name, error)

    def beat(self) -> float:
        """Renew the leases; seconds to the next time. Trust counts from when the question was sent, and ends before the lease does."""
        ready, sent = [worker for worker in list(self.workers.values()) if worker.ready], monotonic()
        try:
            answers = self._queue.beat([worker.name for worker in ready], self._leases.lease_ms)
            for worker in ready:
                if answers[worker.name]:
                    worker.trusted_until = sent + self._leases.trust_s
                else:
                    worker.disowned = True
        except Exception as error:
            log.debug("beat: %s", error)
            return min(0.2, self._leases.beat_ms / 1000)
        return self._leases.beat_ms / 1000

    def _watch(self, worker: WorkerProcess) -> None:
        """Kill what hangs, and what may no longer believe that its Runs are its own."""
        if worker.condemned:
            return
        worker.page.write_trust(worker.trusted_until)
        now = monotonic()
        tick, deadline = worker.page.read()
        if worker.disowned:
            log.error("worker %s was declared dead by others; it is replaced", worker.name)
        elif 0 < worker.trusted_until < now:
            log.error("no contact with the store for a lease: worker %s is stopped, its Runs will run elsewhere", worker.name)
        elif now - max(tick, worker.started) > STALLED_S:
            log.error("worker %s has not ticked for %d s: stalled", worker.name, STALLED_S)
        elif tick and now - tick > BLOCKED_S and now - deadline > OVERDUE_S:
            log.error("worker %s is blocked by a Run that is over its deadline", worker.name)
        else:
            return
        worker.kill()


_PIDFD = hasattr(os, "pidfd_open")
