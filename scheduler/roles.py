"""Roles of an instance as threads: the timer that fires, the sweeper that rescues, and a worker inside this very process."""

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from scheduler.catalogue import trigger_of
from scheduler.core.run import Submission
from scheduler.core.task import Schedule, Task
from scheduler.intake import submission_of_fire
from scheduler.local_worker import LocalWorker
from scheduler.queue import RunQueue, ScheduleBook
from scheduler.timing.timer import Timer
from scheduler.timing.wiring import Wiring
from scheduler.triggers import jitter_of, misses
from scheduler.worker.sweeper import Leases, Sweeper

if TYPE_CHECKING:
    from scheduler.center import SchedulerCenter


class Roles:
    """The roles at work for one centre. Every role has a client of its own: none waits for another's reply."""

    def __init__(self, center: "SchedulerCenter") -> None:
        self._center = center
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.leases = leases_of(center)
        self.timer: Timer | None = None
        self.sweeper = Sweeper(self.queue_for("sweeper"), center.find_task, self.leases)
        self.worker: LocalWorker | None = None

    def start(self, roles: Sequence[str]) -> None:
        if "timer" in roles:
            lease_ms = round(self._center.settings.scheduler.leader_lease.total_seconds() * 1000)
            self.timer = Timer(ScheduleBook(self.queue_for("timer")), self._center.instance, self._wiring(), lease_ms=lease_ms)
            self.timer.sync_yaml(list(self._center.catalogue.schedules.values()))
            self._run("timer", self.timer.run)
        self._run("sweeper", self._sweep)
        if "worker" in roles:
            self.worker = LocalWorker(self._center, self.leases)
            self.worker.start()

    def stop(self, grace_s: float) -> None:
        self._stop.set()
        if self.worker is not None:
            self.worker.stop(grace_s)
        for thread in self._threads:
            thread.join(timeout=10)

    def learn(self, task: Task) -> None:
        if self.worker is not None:
            self.worker.learn(task)

    def queue_for(self, role: str) -> RunQueue:
        """The queue over a client of this role's own."""
        client = self._center.store.client_for(f"{self._center.instance}-{role}")
        return RunQueue(client, self._center.settings.scheduler.name)

    def _run(self, name: str, body: Callable[[threading.Event], object]) -> None:
        thread = threading.Thread(target=body, args=(self._stop,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _sweep(self, stop: threading.Event) -> None:
        while not stop.wait(self.sweeper.step()):
            pass

    def _wiring(self) -> Wiring:
        return Wiring(build=trigger_of, due=misses.due, jitter=jitter_of, submission=self._submission)

    def _submission(self, schedule: Schedule, instant_ms: int) -> Submission:
        return submission_of_fire(self._center.task(schedule.task), schedule, instant_ms)


def leases_of(center: "SchedulerCenter") -> Leases:
    """A worker's lease, and three beats to it."""
    lease_ms = round(center.settings.worker.lease.total_seconds() * 1000)
    return Leases(lease_ms, lease_ms // 3)
