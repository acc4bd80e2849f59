"""Roles of an instance as threads: the timer that fires, the sweeper that rescues, and a worker inside this very process."""

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import astuple
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from scheduler.audience import Audience, OwnEvents
from scheduler.catalogue import Catalogue, trigger_of
from scheduler.core.pulse import Pulse
from scheduler.core.run import Submission
from scheduler.core.task import Schedule, Task
from scheduler.intake import submission_of_fire
from scheduler.local_worker import LocalWorker
from scheduler.observe.event_log import EventLog
from scheduler.queue import Instances, RunQueue, ScheduleBook
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
        self.pulse = Pulse()
        self.leases = leases_of(center)
        self.timer: Timer | None = None
        sweeps = self.queue_for("sweeper")
        self.instances = Instances(sweeps, center.instance, self._tell)
        self.sweeper = Sweeper(sweeps, center.find_task, self.leases, errand=self.instances.step)
        self.worker: LocalWorker | None = None
        queue = self.queue_for("watchers")
        self.audience = Audience(center, queue, self.pulse)
        self._log = EventLog(queue.get)
        self.audience.join(OwnEvents(center, self._log))

    def start(self, roles: Sequence[str]) -> None:
        if roles:
            self.audience.start()  # before anything happens
        if "timer" in roles:
            lease_ms = round(self._center.settings.scheduler.leader_lease.total_seconds() * 1000)
            self.timer = Timer(ScheduleBook(self.queue_for("timer")), self._center.instance, self._wiring(), lease_ms=lease_ms)
            self.instances.configuration = digest_of(self._center.catalogue)
            self.instances.step()
            self.timer.sync_yaml(list(self._center.catalogue.schedules.values()))
            self._run("timer", self.timer.step, at_end=self.timer.leader.resign)
        self._run("sweeper", self.sweeper.step, at_end=self.instances.leave)
        if "worker" in roles:
            worker = LocalWorker(self._center, self.leases)
            worker.start()
            self.worker = worker

    def retire(self) -> None:
        """Fire and sweep no more: a standby takes over now, not when what runs here has ended."""
        self._stop.set()

    def stop(self, grace_s: float) -> None:
        self.retire()
        if self.worker is not None:
            self.worker.stop(grace_s)
        self.audience.stop()
        self._log.sum_up()
        for thread in self._threads:
            thread.join(timeout=10)

    def learn(self, task: Task) -> None:
        if self.worker is not None:
            self.worker.learn(task)

    @property
    def leads(self) -> bool:
        """Whether this instance fires the schedules now."""
        return self.timer is not None and self.timer.leader.epoch > 0

    def queue_for(self, role: str, **options: Any) -> RunQueue:
        """The queue over a client of this role's own; ``options`` as of ``store.connect``."""
        client = self._center.store.client_for(f"{self._center.instance}-{role}", **options)
        return RunQueue(client, self._center.settings.scheduler.name)

    def _run(self, name: str, step: Callable[[], float], at_end: Callable[[], None] = lambda: None) -> None:
        self.pulse.beat(name)
        thread = threading.Thread(target=self._go_round, args=(name, step, at_end), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _go_round(self, name: str, step: Callable[[], float], at_end: Callable[[], None]) -> None:
        """One role's thread: step, show that it did, wait for as long as the step said."""
        while not self._stop.is_set():
            delay_s = step()
            self.pulse.beat(name)
            self._stop.wait(delay_s)
        at_end()

    def _tell(self) -> None:
        """What a start enters in the store, once more."""
        catalogue = self._center.catalogue
        self._center.queue.define(list(catalogue.tasks.values()))
        if self.timer is not None:
            self.timer.sync_yaml(list(catalogue.schedules.values()))

    def _wiring(self) -> Wiring:
        return Wiring(build=trigger_of, due=misses.due, jitter=jitter_of, submission=self._submission)

    def _submission(self, schedule: Schedule, instant_ms: int) -> Submission:
        return submission_of_fire(self._center.task(schedule.task), schedule, instant_ms)


def digest_of(catalogue: Catalogue) -> str:
    """Of what is entered in the store: the schedules, and the limits of the tasks."""
    limits = [[task.name, task.max_instances, task.slot, *map(astuple, task.rate_limits)] for task in catalogue.tasks.values()]
    schedules = [schedule.to_dict() for schedule in catalogue.schedules.values()]
    return hashlib.sha256(json.dumps([sorted(limits), sorted(schedules, key=itemgetter("name"))], sort_keys=True).encode()).hexdigest()[:16]


def leases_of(center: "SchedulerCenter") -> Leases:
    """A worker's lease, and three beats to it."""
    lease_ms = round(center.settings.worker.lease.total_seconds() * 1000)
    return Leases(lease_ms, lease_ms // 3)
