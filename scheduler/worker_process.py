"""The worker process: ``python -m scheduler.worker_process PAGE NEWS PLAN SUPERVISOR`` (three descriptors and a process id).

Over stdin the supervisor says ``drain <seconds>``, or ``retire``: end with the last Run. End of file: it is gone, we go. The main thread
is the ticker: it passes the baton on, watches deadlines, shows on the page that we are alive, and winds up the kernel's alarm, which
ends this process when its lease can no longer be trusted, whoever sleeps then and whatever holds the interpreter. The price: a Run that
holds it for most of a lease, so that nobody winds the alarm up again, ends its worker too.
"""

import json
import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import psutil

from scheduler.assembly import BuiltWorker, WorkerPlan, build_worker
from scheduler.core.clock import monotonic
from scheduler.core.outcome import Kind, Outcome
from scheduler.plugins.loader import use_folder
from scheduler.queue import RunQueue
from scheduler.store.connect import connect
from scheduler.worker import process_tree
from scheduler.worker.baton import PATIENCE_S
from scheduler.worker.output import RunLogHandler, RunStream
from scheduler.worker.page import Page
from scheduler.worker.sweeper import Leases

log = logging.getLogger("scheduler.worker")

TICK_S = 0.25
KILL_S = 5.0  # after the grace: how long killed children may take to be gone
STUCK_MOST = 3
FULL = 0.7  # of the descriptors that this process may have: then tasks have leaked too many
THREADS_MOST = 500  # besides those that its slots may have
TURN_S = 3.0  # a turn without an answer is asked again, with its nonce
AGAIN_S = 0.25  # between two tries to enter service while the store is away


class WorkerProcess:
    """Wires a worker to its supervisor."""

    def __init__(self, plan: WorkerPlan, page: Page, news_fd: int, commands: Iterable[str]) -> None:
        self._page = page
        self._news_fd = news_fd
        self._commands = commands
        queue = RunQueue(connect(plan.url, client_name=plan.name, socket_timeout_s=TURN_S), plan.centre)
        chores = RunQueue(connect(plan.url, client_name=f"{plan.name}-chores"), plan.centre)
        self._built: BuiltWorker = build_worker(plan, queue, chores, page.write_deadline)
        self._queue = queue
        self._leases = Leases(plan.lease_ms)
        self._trusted_until = 0.0
        self._max_memory = plan.max_memory
        self._over = threading.Event()
        self._drain_until = float("inf")

    def run(self) -> int:
        """Serve until told to stop; the exit code."""
        worker = self._built.worker
        threading.Thread(target=self._listen, name="supervisor-pipe", daemon=True).start()
        if not self._enroll():
            return 70
        self._show_life(float("inf"))
        worker.start()
        threading.Thread(target=self._keep_house, name="housekeeper", daemon=True).start()
        self._say("ready")
        while not worker.idle.is_set() and not worker.fenced and monotonic() < self._drain_until:
            self._tick()
        return self._end()

    def _enroll(self) -> bool:
        """Enter service as soon as the store answers; False when this name has lost its lease, or we were told to stop before."""
        level = logging.WARNING
        while not self._built.worker.draining:
            sent = monotonic()
            try:
                enrolled = self._queue.enroll(self._built.enrolment, self._leases.lease_ms)
            except Exception as error:  # another process would find the store away too
                log.log(level, "worker %s cannot enter service yet: %s", self._built.worker.name, error)
                level = logging.DEBUG  # said once
                self._over.wait(AGAIN_S)
            else:
                self._trusted_until = sent + self._leases.trust_s
                return enrolled
        return False

    def _tick(self) -> None:
        worker = self._built.worker
        worker.tick()
        self._show_life(worker.slots.nearest_deadline())
        if worker.slots.stuck > STUCK_MOST and not worker.draining:
            self._say("recycle")
        if worker.busy.is_set():
            self._over.wait(PATIENCE_S)
        else:
            worker.busy.wait(TICK_S)

    def _show_life(self, nearest_deadline: float) -> None:
        now = monotonic()
        self._page.write(now, nearest_deadline)
        self._trusted_until = max(self._trusted_until, self._page.trusted_until())
        signal.setitimer(signal.ITIMER_REAL, max(0.001, self._trusted_until - now))  # SIGALRM, which nobody handles

    def _end(self) -> int:
        """What is left is killed and handed back; then the process goes, stuck threads or not."""
        worker = self._built.worker
        deadline = monotonic() + KILL_S
        if not worker.idle.is_set() and not worker.fenced:
            worker.abort(Outcome(Kind.HANDED_BACK))
            while not worker.idle.is_set() and monotonic() < deadline:
                worker.tick()
                self._show_life(float("inf"))
                worker.idle.wait(0.01)
        self._built.housekeeper.step()
        self._built.close()
        return 70 if worker.fenced else 0

    def _listen(self) -> None:
        for line in self._commands:
            command, _, argument = line.partition(" ")
            if command == "drain":
                self._drain_until = min(self._drain_until, monotonic() + float(argument))
            self._built.worker.drain(ask=command == "drain")
            self._built.worker.busy.set()
        os._exit(71)  # the supervisor is gone: children see our end by theirs, the lease tells the others

    def _keep_house(self) -> None:
        while not self._over.wait(1.0):
            self._built.housekeeper.step()
            if self._is_worn_out():
                self._say("recycle")

    def _is_worn_out(self) -> bool:
        """Whether its Runs have left too much behind in this process."""
        most_fds, most_threads = resource.getrlimit(resource.RLIMIT_NOFILE)[0], self._built.worker.slots.limits.threads + THREADS_MOST
        try:
            process = psutil.Process()
            too_big = bool(self._max_memory) and process.memory_info().rss > self._max_memory
            return too_big or threading.active_count() > most_threads or 0 < FULL * most_fds < process.num_fds()
        except (psutil.Error, OSError):  # it takes a descriptor to look
            return True

    def _say(self, word: str) -> None:
        os.write(self._news_fd, word.encode() + b"\n")


def main() -> None:
    """Entry point of the process."""
    process_tree.on_parents_death(signal.SIGKILL)  # of its main thread, which starts us; the end of a pipe tells only who can look
    page_fd, news_fd, plan_fd, supervisor = map(int, sys.argv[1:])
    if os.getppid() != supervisor:
        os._exit(71)
    for number in (signal.SIGINT, signal.SIGTERM):  # the supervisor tells us, in order; SIG_IGN would be inherited by what tasks start
        signal.signal(number, _nothing)
    for fd in (page_fd, news_fd):
        os.set_inheritable(fd, False)
    commands = _private_stdin()
    with os.fdopen(plan_fd) as file:
        plan = WorkerPlan(**{**json.load(file), "pid": os.getpid()})
    logging.basicConfig(level=logging.INFO, handlers=[RunLogHandler()])
    sys.stdout, sys.stderr = RunStream(sys.stdout), RunStream(sys.stderr)
    use_folder(Path(plan.plugins))
    try:
        code = WorkerProcess(plan, Page(page_fd), news_fd, commands).run()
    except Exception as error:  # the store is away just now, or the plan is wrong: the supervisor tries again
        print(f"worker {plan.name} cannot work: {error}", file=sys.stderr)  # noqa: T201  # no log is set up for it alone
        code = 72
    sys.stdout.flush()
    os._exit(code)  # no waiting for threads that are stuck in user code


def _nothing(*_: object) -> None:
    """A handler that lets nothing happen."""


def _private_stdin() -> Iterable[str]:
    """The lines that come over stdin, which from now on is empty: a task that reads it must not eat them."""
    commands = os.fdopen(os.dup(0))
    with Path(os.devnull).open("rb") as empty:
        os.dup2(empty.fileno(), 0)
    return commands


if __name__ == "__main__":
    main()
