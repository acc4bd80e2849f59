"""RedisJobStore: APScheduler's jobs, defined as JSON in Redis; in memory only where each stands, in the order of their next instants."""

import heapq
import json
import logging
from datetime import datetime
from typing import Any

from apscheduler.jobstores.base import BaseJobStore, JobLookupError

from scheduler.core.ports import FiredState, ScheduleStore
from scheduler.core.task import Schedule
from scheduler.timing.job import ScheduleJob, to_datetime
from scheduler.timing.wiring import TimedTrigger, Wiring

_MOST = 500  # jobs a step: the leader must renew its lease in between
_PARKED = "schedule %s is parked and does not fire: %s"
_log = logging.getLogger(__name__)


class RedisJobStore(BaseJobStore):  # type: ignore[misc]  # the library is untyped
    """What is in memory changes by ``load`` and by firing alone; adding and removing goes to the store, where all instances see it.

    A schedule whose trigger cannot be built or fails is parked with the reason, never deleted; the next ``load`` tries again.
    """

    def __init__(self, store: ScheduleStore, wiring: Wiring) -> None:
        super().__init__()
        self.jobs: dict[str, ScheduleJob] = {}
        self.parked: dict[str, str] = {}
        self.paused: set[str] = set()
        self._store = store
        self._wiring = wiring
        self._built: dict[tuple[str, str, str], TimedTrigger] = {}
        self._queue: list[tuple[int, str]] = []  # heap of (next_ms, name), one for each job that is to fire

    # ── From the store ────────────────────────────────────────────────────────────────────────────────────────────

    def load(self, now_ms: int) -> None:
        """Read everything anew. What has not changed keeps its trigger, and its next instant unless the store knows of later fires."""
        definitions, paused = self._store.load_schedules(), self._store.paused_schedules()
        jobs: dict[str, ScheduleJob] = {}
        parked: dict[str, str] = {}
        self._built = {}
        for name, (schedule, state) in definitions.items():
            try:
                jobs[name] = self._job(self.jobs.get(name), schedule, state, now_ms)
            except Exception as error:
                parked[name] = f"{type(error).__name__}: {error}"
                if parked[name] != self.parked.get(name):
                    _log.error(_PARKED, name, parked[name])
        self.jobs, self.parked, self.paused = jobs, parked, paused
        self._queue = [(job.due_ms, name) for name, job in self.jobs.items() if job.due_ms is not None and name not in paused]
        heapq.heapify(self._queue)

    def _job(self, job: ScheduleJob | None, schedule: Schedule, state: FiredState, now_ms: int) -> ScheduleJob:
        if job is None or (job.schedule is not schedule and job.schedule != schedule):
            job = ScheduleJob(self._scheduler, schedule, self._trigger(schedule))
        job.stand(state._replace(last_ms=state.last_ms or now_ms))
        return job

    def _trigger(self, schedule: Schedule) -> TimedTrigger:
        """Triggers are pure, so equal definitions share one: 100,000 schedules have a few hundred crons among them."""
        key = (schedule.trigger, schedule.timezone, json.dumps(schedule.args, sort_keys=True))
        built = self._built.get(key)
        if built is None:
            built = self._built[key] = self._wiring.build(schedule)
        return built

    def park(self, name: str, error: Exception) -> None:
        """Take a schedule out of service until the next ``load``; its instants are caught up after that."""
        self.jobs.pop(name, None)
        self.parked[name] = f"{type(error).__name__}: {error}"
        _log.error(_PARKED, name, self.parked[name])

    def rebuild(self) -> None:
        """The next ``load`` builds every trigger anew, as the code of some may have changed."""
        self.jobs, self._queue = {}, []

    def forget(self, names: set[str]) -> None:
        """Where these stand is not certain any more: the next ``load`` finds out."""
        for name in names & self.jobs.keys():
            self.jobs[name].last_ms = 0

    # ── What is due ───────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def next_ms(self) -> int | None:
        """The earliest instant of all that are to fire."""
        return self._queue[0][0] if self._queue else None

    def get_due_jobs(self, now: datetime) -> list[ScheduleJob]:  # noqa: ARG002 - the store's clock says what is due
        now_ms, found = self._scheduler.now_ms(), list[ScheduleJob]()
        while len(found) < _MOST and (next_ms := self.next_ms) is not None and next_ms <= now_ms:
            found.append(self.jobs[heapq.heappop(self._queue)[1]])
        return found

    def update_job(self, job: ScheduleJob) -> None:
        """After a fire: the next instant went into the store with the fire itself, so only the order here changes."""
        if job.next_ms is not None and self.jobs.get(job.id) is job:
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
