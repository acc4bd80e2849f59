"""Vitals: whether this instance's loops go round, what its store shows, and whether it can do its work."""

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from scheduler.core.clock import monotonic
from scheduler.queue.runqueue import RunQueue
from scheduler.queue.signs import Leading, Seen, read_signs
from scheduler.queue.stats import Stats, read_stats
from scheduler.store.connect import read_error

if TYPE_CHECKING:
    from scheduler.center import SchedulerCenter
    from scheduler.roles import Roles
    from scheduler.service import Service

LATE_S = 15.0  # a store that has vanished holds a step for two waits of 5 s: no reason to restart anything
FRESH_S = 1.0
PATIENCE_S = 1.0
UNSEEN_MS = 15_000  # an idle worker looks for work every 5 s


class Check(NamedTuple):
    """One condition of being ready; ``detail`` says what was found."""

    ok: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look at the store showed; with an ``error`` (no answer within PATIENCE_S) the rest is empty. ``at``: monotonic."""

    at: float
    error: str = ""
    latency_ms: float = 0.0
    stats: Stats | None = None
    leading: Leading = field(default_factory=Leading)
    workers: Mapping[str, Seen] = field(default_factory=dict)


class Vitals:
    """Answers for one instance, from any thread. ``service`` is None where a program uses the centre as a library."""

    def __init__(self, center: "SchedulerCenter", service: "Service | None" = None) -> None:
        self._center = center
        self._service = service
        self._started = monotonic()
        self._lock = threading.Lock()
        self._last: Look | None = None
        self._client: tuple[Roles, RunQueue, str] | None = None

    @property
    def roles(self) -> "Roles | None":
        """None while the centre is not running."""
        with suppress(RuntimeError):
            return self._center.roles
        return None

    @property
    def state(self) -> Literal["stopped", "running", "paused"]:
        """The centre's own, in the words of its metric; ``paused``: it runs, but all of its schedules or all queues are paused."""
        roles, stats = self.roles, self.look().stats
        if roles is None:
            return "stopped"
        queues = stats.queues.values() if stats else ()
        return "paused" if _fires_nothing(roles) or (queues and all(queue.paused for queue in queues)) else "running"

    @property
    def uptime_s(self) -> float:
        return monotonic() - self._started

    def loops(self) -> dict[str, float]:
        """Loop → seconds since it last went round."""
        return self.roles.pulse.ages() if self.roles else {}

    def late(self) -> list[str]:
        """Loops that have stopped going round."""
        return [loop for loop, age_s in self.loops().items() if age_s > LATE_S]

    # ── The store ─────────────────────────────────────────────────────────────────────────────────────────────────

    def look(self) -> Look:
        """At most FRESH_S old, whether the store answered or not: however many ask, it is asked once."""
        with self._lock:
            if self._last is None or monotonic() - self._last.at > FRESH_S:
                self._last = self._look()
            return self._last

    def _look(self) -> Look:
        roles, url = self.roles, ""
        if roles is None:
            return Look(at=monotonic(), error="调度器未运行")
        try:
            queue, url = self._connected(roles)
            sent = monotonic()
            queue.client.ping()
            latency_ms = (monotonic() - sent) * 1000
            stats = read_stats(queue)
            leading, workers = read_signs(queue, self._workers(roles), stats.now_ms)
        except Exception as error:
            return Look(at=monotonic(), error=str(read_error(error, url)))
        return Look(at=monotonic(), latency_ms=latency_ms, stats=stats, leading=leading, workers=workers)

    def _connected(self, roles: "Roles") -> tuple[RunQueue, str]:
        """A client with little patience, and the store's address; made anew when the centre was started anew."""
        if self._client is None or self._client[0] is not roles:
            queue = roles.queue_for("web", socket_timeout_s=PATIENCE_S, max_connections=2)
            self._client = (roles, queue, self._center.store.url)
        return self._client[1:]

    def _workers(self, roles: "Roles") -> list[str]:
        return [*(self._service.workers if self._service else []), *([roles.worker.name] if roles.worker else [])]

    # ── Ready ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def checks(self) -> dict[str, Check]:
        """What must hold before work is sent here: the centre runs, the store answers, somebody leads, a worker consumes."""
        roles, look = self.roles, self.look()
        stopping = self._service is not None and self._service.stopping
        found = {
            "centre": Check(roles is not None and not stopping, "stopping" if stopping else "running" if roles else "stopped"),
            "store": Check(not look.error, "does not answer" if look.error else f"answered in {look.latency_ms:.1f} ms"),
        }
        if roles is not None and roles.timer is not None:
            found["leader"] = self._leader(roles, look)
        if roles is not None and self._has_workers(roles):
            found["worker"] = _worker(look)
        if roles is not None and roles.instances.differing:  # no reason to send work elsewhere: what was entered last holds
            found["configuration"] = Check(True, f"differs from {', '.join(roles.instances.differing)}'s")
        return found

    def _leader(self, roles: "Roles", look: Look) -> Check:
        if roles.leads:
            return Check(True, "leads")
        if look.leading.lease_ms > 0 and look.leading.instance != self._center.instance:
            return Check(True, f"stands by for {look.leading.instance}")
        return Check(False, "nobody leads")

    def _has_workers(self, roles: "Roles") -> bool:
        if self._service is not None and "worker" in self._service.roles:
            return self._center.settings.worker.processes > 0
        return roles.worker is not None


def _fires_nothing(roles: "Roles") -> bool:
    """Whether there are schedules, and each of them is paused: as the timer knows them, which looks once a second."""
    if roles.timer is None or not roles.timer.jobs.paused:
        return False
    jobs = roles.timer.jobs
    names = jobs.jobs.keys() | jobs.parked.keys()
    return bool(names) and jobs.paused >= names


def _worker(look: Look) -> Check:
    """Its lease only says that somebody beats for a worker. That it consumes it shows itself: it looked for work, or holds some."""
    if any(_consumes(seen) for seen in look.workers.values()):
        return Check(True, "consumes")
    if any(seen.lease_ms > 0 for seen in look.workers.values()):
        return Check(False, f"enrolled, but has not looked for work for {UNSEEN_MS // 1000} s")
    return Check(False, "none is enrolled")


def _consumes(seen: Seen) -> bool:
    return seen.lease_ms > 0 and (seen.runs > 0 or (seen.idle_ms is not None and seen.idle_ms < UNSEEN_MS))
