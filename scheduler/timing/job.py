"""ScheduleJob: a Schedule as APScheduler's job. Milliseconds inside; datetimes only where APScheduler looks."""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from apscheduler.job import Job
from apscheduler.triggers.base import BaseTrigger

from scheduler.core.ports import FiredState
from scheduler.core.task import Schedule
from scheduler.timing.catchup import NOTHING, Plan, Position, Shot, paused, plan
from scheduler.timing.wiring import TimedTrigger

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
NEVER = datetime.max.replace(tzinfo=UTC)  # not None: APScheduler removes a job that has no next time


def to_datetime(ms: int | None) -> datetime:
    """UTC; NEVER for None and for what lies beyond the calendar's end."""
    try:
        return NEVER if ms is None else _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return NEVER


class JobTrigger(BaseTrigger):  # type: ignore[misc]  # the library is untyped
    """The job's trigger as APScheduler asks for it: the next instant was found when the due ones were."""

    __slots__ = ("_job",)

    def __init__(self, job: "ScheduleJob") -> None:
        self._job = job

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:  # noqa: ARG002 - the plan knows both
        return to_datetime(self._job.plan.next_ms)


class ScheduleJob(Job):  # type: ignore[misc]  # the library is untyped
    """Where one Schedule stands: all up to ``last_ms`` is settled, ``next_ms`` comes next (None: never), ``fires`` were counted.

    ``untold`` is the word about what passed while it was paused; it goes before anything else.
    """

    __slots__ = ("_scheduler", "built", "fires", "last_ms", "next_ms", "plan", "schedule", "since_ms", "untold")

    executor: ClassVar[str] = "default"
    coalesce: ClassVar[bool] = False  # ``plan`` has decided
    _jobstore_alias: ClassVar[str] = "default"

    def __init__(self, scheduler: Any, schedule: Schedule, built: TimedTrigger) -> None:
        self._scheduler = scheduler
        self.schedule = schedule
        self.built = built
        self.last_ms = 0
        self.next_ms: int | None = None
        self.fires = 0
        self.since_ms = 0
        self.untold: Shot | None = None
        self.plan = NOTHING

    @property
    def id(self) -> str:
        return self.schedule.name

    @property
    def name(self) -> str:
        return self.schedule.name

    @property
    def trigger(self) -> JobTrigger:
        return JobTrigger(self)

    @property
    def next_run_time(self) -> datetime | None:
        return None if self.next_ms is None else to_datetime(self.next_ms)

    def stand(self, state: FiredState) -> None:
        """Take the position the store remembers; where that is our own already, the next instant is known."""
        if state.last_ms != self.last_ms:
            self.last_ms = state.last_ms
            self.next_ms = self.built.next(state.last_ms)
            if self.next_ms is None and self.schedule.trigger == "date" and not state.fires:
                self.next_ms = self.built.next(0)  # it lies in the past: that is to be told
        self.fires, self.since_ms = state.fires, state.since_ms
        if self.built.max_runs is not None and state.fires >= self.built.max_runs:
            self.next_ms = None
        self.untold = paused(self.built, state.untold_ms, state.last_ms, self._scheduler.wiring.due) if state.untold_ms else None

    @property
    def due_ms(self) -> int | None:
        """When there is something to be given to the store; None: never."""
        return 0 if self.untold else self.next_ms

    def aim(self, now_ms: int) -> Plan:
        """Decide what to fire now. Raises whatever the trigger raises."""
        if self.untold:
            return Plan([self.untold], self.next_ms)
        if self.next_ms is None:
            return NOTHING
        found = plan(self.schedule, self.built, Position(self.last_ms, self.next_ms, self.since_ms), now_ms, self._scheduler.wiring.due)
        left = None if self.built.max_runs is None else self.built.max_runs - self.fires
        if left is not None and sum(shot.make_run for shot in found.shots) >= left:
            found = _at_most(found, left)
        return found

    def _get_run_times(self, now: datetime) -> list[datetime]:  # noqa: ARG002 - this machine's clock has no say
        self.plan = self._scheduler.aim(self)
        return [to_datetime(shot.instant_ms) for shot in self.plan.shots]

    def _modify(self, **changes: Any) -> None:
        """APScheduler moves the job on after its due instants were handed over."""
        if set(changes) != {"next_run_time"}:
            raise AttributeError(f"job {self.id!r} follows its schedule: change that with Timer.add, not {', '.join(changes)} of the job")
        shots = self.plan.shots
        self.last_ms = max(self.last_ms, shots[-1].instant_ms)
        self.fires += sum(shot.make_run for shot in shots)
        self.next_ms = self.plan.next_ms
        self.untold, self.plan = None, NOTHING


def _at_most(found: Plan, left: int) -> Plan:
    """The plan up to its ``left``-th Run, which is the last one ever."""
    last = [place for place, shot in enumerate(found.shots) if shot.make_run][left - 1]
    return found._replace(shots=found.shots[: last + 1], next_ms=None)
