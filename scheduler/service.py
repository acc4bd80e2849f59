"""The service: what ``python run.py`` starts. Timer, sweeper, watchers and web in this process, workers in processes of their own.

This process runs no user code. Its main thread supervises; signals stop it in order: first a graceful end, the second time at once.
"""

import json
import logging
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from types import FrameType
from typing import Protocol

from scheduler.center import SchedulerCenter
from scheduler.core.clock import monotonic
from scheduler.core.events import Event
from scheduler.local_worker import plan_for
from scheduler.queue import EventReader
from scheduler.worker.supervisor import Supervisor

log = logging.getLogger("scheduler")

INTERRUPT_GRACE_S = 2.5  # Ctrl-C: somebody is waiting at the terminal
KILL_S = 6.0
GATHER_S = 0.05  # events are read in bunches: waking up for each would take the processor from the Run that it tells of
LISTEN_MS = 700  # how long one reading waits for events: the end must wait for the last of them
REVIVE_AFTER = 3  # rounds without an answer from an embedded server before we look whether it lives


class Watcher(Protocol):
    """Somebody who wants to know what happens: metrics, the terminal."""

    def observe(self, events: Sequence[Event]) -> None: ...


class OwnEvents:
    """Tells a watcher only what concerns this instance, so that all instances together count each event once.

    That is what its own workers did, and, while it leads, what no worker did.
    """

    def __init__(self, center: SchedulerCenter, watcher: Watcher) -> None:
        self._center = center
        self._watcher = watcher

    def observe(self, events: Sequence[Event]) -> None:
        mine, leads = f"{self._center.instance}.", self._center.is_running and self._center.roles.leads
        self._watcher.observe([event for event in events if (event.worker.startswith(mine) if event.worker else leads)])


class Service:
    """One instance with its roles. ``run`` returns the exit code when all has ended."""

    def __init__(self, center: SchedulerCenter, roles: Sequence[str], watchers: Sequence[Watcher] = ()) -> None:
        self.center = center
        self.roles = roles
        self.watchers = watchers
        self.supervisor: Supervisor | None = None
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="watchers", daemon=True)
        self._grace_s = center.settings.worker.shutdown_timeout.total_seconds()
        self._signals = 0
        self._busy_at = monotonic()

    def start(self) -> None:
        """Start everything; raises before anything runs where something is wrong."""
        center = self.center
        center.start([role for role in self.roles if role == "timer"])
        center.roles.pulse.beat("supervisor")
        self._watching.start()
        if "worker" in self.roles:
            self.supervisor = self._supervisor()
            self.supervisor.scale(center.settings.worker.processes)
            self.supervisor.step()

    def run(self) -> int:
        """Supervise until a signal, then stop in order."""
        for number in (signal.SIGINT, signal.SIGTERM):
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
        delay = self.supervisor.step()
        self.supervisor.wait(delay)

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
        self._ended.set()
        self._watching.join(3)
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
        # Whoever waits for the store cannot watch: shorter than the second by which trust ends before the lease does.
        queue = roles.queue_for("supervisor", socket_timeout_s=0.5)
        plan = plan_for(self.center, "", roles.leases)
        return Supervisor(self.center.instance, lambda name: _line(replace(plan, name=name)), queue, roles.sweeper.rescue, roles.leases)

    def _watch(self) -> None:
        """Read the stream and tell the watchers, until the end."""
        pulse = self.center.roles.pulse
        reader = EventReader(self.center.roles.queue_for("watchers").client, self.center.queue.prefix)
        failures = 0
        while not self._ended.is_set():
            pulse.beat("watchers")
            try:
                events = reader.read(block_ms=LISTEN_MS)
                failures = 0
            except Exception as error:
                failures += 1
                self._store_is_away(error, failures)
                continue
            if any(event.type == "running" for event in events):
                self._busy_at = monotonic()
            for watcher in self.watchers:
                _tell(partial(watcher.observe, events))
            if not reader.behind:
                self._ended.wait(GATHER_S)
        pulse.leave("watchers")

    def _store_is_away(self, error: Exception, failures: int) -> None:
        log.debug("events: %s", error)
        self._ended.wait(0.2)
        if failures >= REVIVE_AFTER and not self._ended.is_set():
            try:
                self.center.store.revive()
            except Exception as trouble:
                log.warning("the store could not be started again: %s", trouble)

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


def _tell(told: Callable[[], None]) -> None:
    try:
        told()
    except Exception:
        log.exception("a watcher failed; the others go on")
