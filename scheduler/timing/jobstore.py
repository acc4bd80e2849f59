"""RedisJobStore: APScheduler's jobs, defined as JSON in Redis; in memory only where each stands, in the order of their next instants."""

import heapq
import json
import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from apscheduler.jobstores.base import BaseJobStore, JobLookupError

from scheduler.core.ports import FiredState, ScheduleStore
from scheduler.core.task import Schedule
from scheduler.timing.job import ScheduleJob, to_datetime
from scheduler.timing.wiring import TimedTrigger, Wiring

_MOST = 500  # jobs a step: the leader must renew its lease in between
_SHARE = 6  # of a lease, that classes of users get of a step: for the same reason
_SLOW_MS, _REST_MS, _LONGEST_REST_MS = 50, 5_000, 600_000
_PARKED = "schedule %s is parked and does not fire: %s"
_log = logging.getLogger(__name__)


class _Rest(NamedTuple):
    """A schedule that took its time to fail: it is not tried again before ``until_ms``."""

    schedule: Schedule
    pause_ms: int
    until_ms: int


class RedisJobStore(BaseJobStore):  # type: ignore[misc]  # the library is untyped
    """What is in memory changes by ``load`` and by firing alone; adding and removing goes to the store, where all instances see it.

    A schedule whose trigger cannot be built or fails is parked with the reason, never deleted; the next ``load`` tries again. One that
    was slow to fail rests before that, longer each time until it fires, and gets a ``load`` of its own.
    """

    def __init__(self, store: ScheduleStore, wiring: Wiring) -> None:
        super().__init__()
        self.jobs: dict[str, ScheduleJob] = {}
        self.parked: dict[str, str] = {}
        self.paused: set[str] = set()
        self._store = store
        self._wiring = wiring
        self._built: dict[tuple[str, str, str], TimedTrigger] = {}
        self._queue: list[tuple[int, str]] = []  # heap of (when, name), one for each job that is to fire, and each that waits for a load
        self._rests: dict[str, _Rest] = {}
        self._trial: tuple[Schedule | None, int] = (None, 0)  # whose turn it is, and since when

    # ── From the store ────────────────────────────────────────────────────────────────────────────────────────────

    def load(self, now_ms: int) -> None:
        """Read everything anew. What has not changed keeps its trigger, and its next instant unless the store knows of later fires."""
        definitions, self.paused = self._store.load_schedules(), self._store.paused_schedules()
        for known in (self.jobs, self.parked, self._rests):
            for name in known.keys() - definitions.keys():
                del known[name]
        self._built, self._queue = {}, []
        for schedule, in_time in self._in_turn(schedule for schedule, _ in definitions.values()):
            rest = self._rests.get(schedule.name)
            if rest and rest.schedule == schedule and now_ms < rest.until_ms <= now_ms + rest.pause_ms:
                self._wait(schedule.name, rest.until_ms)
            elif in_time:
                self._place(schedule, definitions[schedule.name][1], now_ms)
            else:
                self._wait(schedule.name, now_ms)

    def _in_turn(self, schedules: Iterable[Schedule]) -> Iterator[tuple[Schedule, bool]]:
        """Those that ask a class of a user come last, as only they can be slow; False for what exceeds their share of this step."""
        spent_ms = 0
        for schedule in sorted(schedules, key=_asks_a_class):
            in_time = spent_ms <= self._scheduler.leader.lease_ms // _SHARE
            self._trial = schedule, self._scheduler.now_ms()
            yield schedule, in_time
            if _asks_a_class(schedule):
                spent_ms += self._scheduler.now_ms() - self._trial[1]

    def _place(self, schedule: Schedule, state: FiredState, now_ms: int) -> None:
        name, job = schedule.name, self.jobs.get(schedule.name)
        try:
            if job is None or (job.schedule is not schedule and job.schedule != schedule):
                job = ScheduleJob(self._scheduler, schedule, self._trigger(schedule))
            job.stand(state._replace(last_ms=state.last_ms or now_ms))
        except Exception as error:
            self.park(name, error)
            return
        self.jobs[name] = job
        self.parked.pop(name, None)
        if job.due_ms is not None and name not in self.paused:
            heapq.heappush(self._queue, (job.due_ms, name))

    def _wait(self, name: str, until_ms: int) -> None:
        """It stands nowhere until then; a ``load`` follows."""
        self.jobs.pop(name, None)
        heapq.heappush(self._queue, (until_ms, name))

    def _trigger(self, schedule: Schedule) -> TimedTrigger:
        """Triggers are pure, so equal definitions share one: 100,000 schedules have a few hundred crons among them."""
        key = (schedule.trigger, schedule.timezone, json.dumps(schedule.args, sort_keys=True))
        built = self._built.get(key)
        if built is None:
            built = self._built[key] = self._wiring.build(schedule)
        return built

    def park(self, name: str, error: Exception) -> None:
        """Take the schedule whose turn it is out of service until the next ``load``; its instants are caught up after that."""
        self.jobs.pop(name, None)
        reason = f"{type(error).__name__}: {error}"
        if reason != self.parked.get(name):
            _log.error(_PARKED, name, reason)
        self.parked[name] = reason
        (schedule, began_ms), now_ms, last = self._trial, self._scheduler.now_ms(), self._rests.get(name)
        if schedule and now_ms - began_ms >= _SLOW_MS:
            pause_ms = min(2 * last.pause_ms, _LONGEST_REST_MS) if last and last.schedule == schedule else _REST_MS
            self._rests[name] = _Rest(schedule, pause_ms, now_ms + pause_ms)
            self._wait(name, now_ms + pause_ms)

    def rebuild(self) -> None:
        """The next ``load`` builds every trigger anew, as the code of some may have changed."""
        self.jobs, self._queue, self._rests = {}, [], {}

    def forget(self, names: set[str]) -> None:
        """Where these stand is not certain any more: the next ``load`` finds out."""
        for name in names & self.jobs.keys():
            self.jobs[name].last_ms = 0

    # ── What is due ───────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def next_ms(self) -> int | None:
        """The earliest instant of all that are to fire."""
        return self._queue[0][0] if self._queue else None

    def get_due_jobs(self, now: datetime) -> Iterator[ScheduleJob]:  # noqa: ARG002 - the store's clock says what is due
        now_ms, found = self._scheduler.now_ms(), list[ScheduleJob]()
        for _ in range(_MOST):
            if self.next_ms is None or self.next_ms > now_ms:
                break
            if job := self.jobs.get(heapq.heappop(self._queue)[1]):
                found.append(job)
            else:
                self._scheduler.reload()
        for schedule, in_time in self._in_turn(job.schedule for job in found):
            job = self.jobs[schedule.name]
            if in_time:
                yield job
            else:
                heapq.heappush(self._queue, (job.due_ms or 0, job.id))

    def update_job(self, job: ScheduleJob) -> None:
        """After a fire: the next instant went into the store with the fire itself, so only the order here changes."""
        if self.jobs.get(job.id) is job:
            self._rests.pop(job.id, None)
            if job.next_ms is not None:
                heapq.heappush(self._queue, (job.next_ms, job.id))

    def get_next_run_time(self) -> datetime | None:
        return None if self.next_ms is None else to_datetime(self.next_ms)

    # ── APScheduler's questions ───────────────────────────────────────────────────────────────────────────────────

    def lookup_job(self, job_id: str) -> ScheduleJob | None:
        return self.jobs.get(job_id)

    def get_all_jobs(self) -> list[ScheduleJob]:
        """By next instant; those that never fire again are last."""
        return sorted(self.jobs.values(), key=lambda job: (job.next_ms is None, job.next_ms or 0, job.id))

    def add_job(self, job: Any) -> None:
        if not isinstance(job, ScheduleJob):
            raise TypeError(f"job {job.id!r} holds a function of this process: add a Schedule with Timer.add")
        self._store.save_schedules([job.schedule])

    def remove_job(self, job_id: str) -> None:
        if job_id not in self.jobs:
            raise JobLookupError(job_id)
        self._store.remove_schedules([job_id])

    def remove_all_jobs(self) -> None:
        self._store.remove_schedules([*self.jobs, *self.parked])


def _asks_a_class(schedule: Schedule) -> bool:
    return schedule.trigger in ("custom", "or", "and") and "custom" in f"{schedule.trigger} {schedule.args}"
