"""The service: what ``python run.py`` starts. Timer, sweeper, watchers and web in this process, workers in processes of their own.

This process runs no user code. Its main thread supervises; signals stop it in order: first a graceful end, the second time at once.
"""

import json
import logging
import signal
import threading
from collections.abc import Sequence
from dataclasses import asdict, replace
from types import FrameType

from scheduler.audience import OwnEvents, Watcher
from scheduler.center import SchedulerCenter
from scheduler.core.clock import monotonic
from scheduler.core.events import Event
from scheduler.local_worker import plan_for
from scheduler.worker.supervisor import Supervisor

log = logging.getLogger("scheduler")

__all__ = ["OwnEvents", "Service", "Watcher"]

INTERRUPT_GRACE_S = 2.5  # Ctrl-C: somebody is waiting at the terminal
KILL_S = 6.0


class Service:
    """One instance with its roles. ``run`` returns the exit code when all has ended."""

    def __init__(self, center: SchedulerCenter, roles: Sequence[str], watchers: Sequence[Watcher] = ()) -> None:
        self.center = center
        self.roles = roles
        self.watchers = watchers
        self.supervisor: Supervisor | None = None
        self._stop = threading.Event()
        self._over = threading.Event()  # set once no worker is left
        self._grace_s = center.settings.worker.shutdown_timeout.total_seconds()
        self._signals = 0
        self._busy_at = monotonic()

    def start(self) -> None:
        """Start everything; raises before anything runs where something is wrong."""
        center = self.center
        center.start([role for role in self.roles if role == "timer"])
        center.roles.pulse.beat("supervisor")
        center.roles.audience.join(self, *self.watchers)
        center.roles.audience.start()
        if "worker" in self.roles:
            self.supervisor = self._supervisor()
            self.supervisor.scale(center.settings.worker.processes)
            self.supervisor.step()
            threading.Thread(target=self._beat, name="beat", daemon=True).start()

    def run(self) -> int:
        """Supervise until a signal, then stop in order."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        while not self._stop.is_set():
            self._round()
            if self._idle_too_long():
                log.info("no Run for %s: exit", self.center.settings.worker.idle_timeout)
                self._stop.set()
        return self._end()

    def _round(self) -> None:
        """One round of supervision; the wait is cut short by a worker's death."""
        self.center.roles.pulse.beat("supervisor")
        if self.supervisor is None:
            self._stop.wait(0.2)
            return
        try:
            self.supervisor.wait(self.supervisor.step())
        except Exception:  # whatever one worker has done: the others are to be looked after
            log.exception("the supervisor stumbled; it goes on")
            self._stop.wait(0.2)

    def _beat(self) -> None:
        """Renew the workers' leases, until the last of them has ended."""
        while self.supervisor and not self._over.wait(self.supervisor.beat()):
            pass

    def _end(self) -> int:
        """Workers first, so that what they hand back is settled while the store is still there."""
        code = 0
        self.center.roles.retire()
        if self.supervisor is not None:
            self.supervisor.drain(self._grace_s)
            deadline = monotonic() + self._grace_s + KILL_S
            while self.supervisor.workers:
                self._round()
                if self._signals > 1 or monotonic() > deadline:
                    self.supervisor.kill()
                    code = 1
            self.supervisor.close()
        self._over.set()
        self.center.shutdown()
        return code

    @property
    def stopping(self) -> bool:
        """Whether the end has begun: what runs may finish, nothing new should be sent here."""
        return self._stop.is_set()

    @property
    def workers(self) -> list[str]:
        """Ids of the workers of this instance that have come up."""
        return [worker.name for worker in list(self.supervisor.workers.values()) if worker.ready] if self.supervisor else []

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._signals += 1
        if number == signal.SIGINT:
            self._grace_s = min(self._grace_s, INTERRUPT_GRACE_S)
        self._stop.set()

    def _supervisor(self) -> Supervisor:
        roles = self.center.roles
        queue = roles.queue_for("supervisor", socket_timeout_s=roles.leases.patience_s)
        plan = plan_for(self.center, "", roles.leases)
        return Supervisor(self.center.instance, lambda name: _line(replace(plan, name=name)), queue, roles.sweeper.rescue, roles.leases)

    def observe(self, events: Sequence[Event]) -> None:
        """It is in the audience itself: idleness counts from the last Run on."""
        if any(event.type == "running" for event in events):
            self._busy_at = monotonic()

    def _idle_too_long(self) -> bool:
        limit_s = self.center.settings.worker.idle_timeout.total_seconds()
        if self.supervisor and not self.workers:
            self._busy_at = monotonic()  # a worker that has yet to come up is not idle
        if not limit_s or monotonic() - self._busy_at <= limit_s:
            return False
        try:
            return bool(self.center.stats()["running"] == 0)
        except Exception as error:  # without its store it cannot know
            log.debug("idle: %s", error)
            return False


def _line(plan: object) -> str:
    return json.dumps(asdict(plan))  # type: ignore[call-overload]  # a WorkerPlan
