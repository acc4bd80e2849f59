"""A worker inside the user's own program: as threads, and it beats for itself, since no supervisor does."""

import itertools
import logging
import os
import threading
from typing import TYPE_CHECKING

from scheduler.assembly import BuiltWorker, WorkerPlan, build_worker
from scheduler.core.clock import monotonic
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.task import Task
from scheduler.queue import RunQueue
from scheduler.worker.baton import PATIENCE_S
from scheduler.worker.output import RunLogHandler
from scheduler.worker.sweeper import Leases

if TYPE_CHECKING:
    from scheduler.center import SchedulerCenter

log = logging.getLogger("scheduler.worker")

TICK_S = 0.25
KILL_S = 5.0
TURN_S = 3.0  # a turn without an answer is asked again, with its nonce
AGAIN_S = 0.2
_TASK_LOGGERS = ("run", "plugin")  # what tasks are given to log with
_numbers = itertools.count(1)


class LocalWorker:
    """One worker in this process. When it loses its lease, another one under a new id takes its place."""

    def __init__(self, center: "SchedulerCenter", leases: Leases) -> None:
        self._center = center
        self._leases = leases
        self._stop = threading.Event()
        self._handler = RunLogHandler()
        self._levelled: list[logging.Logger] = []
        self._queue, self._chores, self._beats = (
            self._client("worker", TURN_S),
            self._client("chores", 5.0),
            self._client("beats", leases.patience_s),
        )
        self._trusted_until = float("inf")
        self._stuck = 0
        self._built = self._build()

    @property
    def name(self) -> str:
        return self._built.worker.name

    def start(self) -> None:
        try:
            self._enter_service()
        except Exception:
            self._built.close()
            raise
        self._capture_logs()
        for name, body in (("ticker", self._tick), ("beat", self._beat), ("housekeeper", self._keep_house)):
            threading.Thread(target=body, name=f"worker-{name}", daemon=True).start()

    def stop(self, grace_s: float) -> None:
        """Let running attempts end within the grace; kill and hand back the rest."""
        worker = self._built.worker
        worker.drain()
        if not worker.idle.wait(grace_s):
            worker.abort(Outcome(Kind.HANDED_BACK))
            worker.idle.wait(KILL_S)
        self._stop.set()
        self._built.housekeeper.step()
        self._built.close()
        self._release_logs()
        try:
            self._chores.abandon(worker.name)
        except Exception as error:
            log.debug("%s could not sign off (%s); its lease will tell", worker.name, error)

    def learn(self, task: Task) -> None:
        self._built.learner.learn([task])

    def _capture_logs(self) -> None:
        """What a task logs is for the Run's log from INFO on, whatever level the program itself has."""
        logging.getLogger().addHandler(self._handler)
        self._levelled = [logger for logger in map(logging.getLogger, _TASK_LOGGERS) if logger.level == logging.NOTSET]
        for logger in self._levelled:
            logger.setLevel(logging.INFO)

    def _release_logs(self) -> None:
        logging.getLogger().removeHandler(self._handler)
        for logger in self._levelled:
            logger.setLevel(logging.NOTSET)

    def _build(self) -> BuiltWorker:
        return build_worker(
            plan_for(self._center, f"{self._center.instance}.local{next(_numbers)}", self._leases), self._queue, self._chores
        )

    def _enter_service(self) -> None:
        self._queue_enroll(self._built)
        self._built.worker.start()

    def _queue_enroll(self, built: BuiltWorker) -> None:
        self._chores.enroll(built.enrolment._replace(tasks=list(built.tasks)), self._leases.lease_ms)

    def _tick(self) -> None:
        while not self._stop.is_set():
            worker = self._built.worker
            worker.tick()
            if monotonic() > self._trusted_until and worker.slots.held():
                worker.abort(Outcome(Kind.LOST))  # it will run elsewhere
            self._tell_stuck(worker.slots.stuck)
            if worker.fenced and not worker.draining:
                self._replace()
            if worker.busy.is_set():
                self._stop.wait(PATIENCE_S)
            else:
                worker.busy.wait(TICK_S)

    def _tell_stuck(self, count: int) -> None:
        """A program cannot be replaced as a worker process is: what its Runs hold, its Runs must give back."""
        if count > self._stuck:
            log.warning("%d Runs were given up and have not come back; each keeps a thread (a process could be ended)", count)
        self._stuck = count

    def _replace(self) -> None:
        log.warning("worker %s lost its lease; another takes its place", self._built.worker.name)
        learned = self._built.tasks
        self._built.close()
        self._built = self._build()
        self._built.tasks.update(learned)
        while not self._stop.is_set():
            try:
                self._enter_service()
            except Exception as error:
                log.debug("enroll: %s", error)
                self._stop.wait(TICK_S)
            else:
                return

    def _beat(self) -> None:
        """Renew the lease, and with it the trust of the ticker."""
        wait_s, self._trusted_until = self._leases.beat_ms / 1000, monotonic() + self._leases.trust_s
        while not self._stop.wait(wait_s):
            sent, worker = monotonic(), self._built.worker
            try:
                renewed = self._beats.beat([worker.name], self._leases.lease_ms)[worker.name]
            except Exception as error:
                log.debug("beat: %s", error)
                wait_s = AGAIN_S
                continue
            wait_s = self._leases.beat_ms / 1000
            if renewed:
                self._trusted_until = sent + self._leases.trust_s
            else:
                worker.lose()

    def _keep_house(self) -> None:
        while not self._stop.wait(1.0):
            self._built.housekeeper.step()

    def _client(self, role: str, patience_s: float) -> RunQueue:
        client = self._center.store.client_for(f"{self._center.instance}-{role}", socket_timeout_s=patience_s)
        return RunQueue(client, self._center.settings.scheduler.name)


def plan_for(center: "SchedulerCenter", name: str, leases: Leases) -> WorkerPlan:
    """What a worker of this centre needs to know."""
    settings = center.settings
    executors = settings.scheduler.executors
    return WorkerPlan(
        name=name,
        centre=settings.scheduler.name,
        url=center.store.url,
        tasks=[task.to_dict() for task in center.catalogue.tasks.values()],
        queues=list(settings.worker.queues),
        slots=[executors.default_threads, executors.process_pool, executors.async_slots],
        plugins=str(settings.plugins),
        logs=str(settings.logging.dir),
        lease_ms=leases.lease_ms,
        max_memory=settings.worker.max_memory,
        host_pid=os.getpid(),
        pid=os.getpid(),  # a worker process puts its own in its place
    )
