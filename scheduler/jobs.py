"""The seed's job API over schedules: add, remove, pause, resume, list; with the seed's errors."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from scheduler.catalogue import trigger_of
from scheduler.core.ids import NAME
from scheduler.core.task import Schedule, Task
from scheduler.plugins.loader import resolve
from scheduler.settings.nearest import did_you_mean
from scheduler.triggers import describe

if TYPE_CHECKING:
    from scheduler.center import SchedulerCenter

_POLICY = ("max_attempts", "priority", "queue", "executor", "max_instances")
_SCHEDULE = ("timezone", "misfire_grace_time", "coalesce")


class Job(NamedTuple):
    """A schedule as the seed shows it; ``trigger`` in plain words, ``next_run_time`` aware or None (paused, or never again)."""

    id: str
    name: str
    next_run_time: datetime | None
    trigger: str


class JobLookupError(LookupError):
    """No job of this id."""


class Jobs:
    """Works on a running centre; RuntimeError ``调度器未运行`` otherwise."""

    def __init__(self, center: "SchedulerCenter") -> None:
        self._center = center

    def add(self, func: Callable[..., Any] | str, trigger: str, **options: Any) -> Job:
        """A schedule for ``func``.

        Options: ``id``, ``kwargs`` (its params), ``replace_existing``, the arguments of the trigger, and any of max_attempts,
        priority, queue, executor, max_instances, timezone, misfire_grace_time (seconds), coalesce.
        Only a function that another process can import can be scheduled: a closure or a lambda is refused.
        """
        self._require_running()
        target = reference(func)
        resolve(target)  # an unknown module or function is an error here, not at three in the morning
        name = options.pop("id", None) or target.rpartition(":")[2].lower()
        options.pop("name", None)
        if not NAME.fullmatch(name):
            raise ValueError(f"job id {name!r}: small letters, digits, _ . -, at most 64")
        schedules = self._center.book.load_schedules()
        if name in schedules and not options.pop("replace_existing", False):
            raise ValueError(f"job {name!r} exists already; pass replace_existing=True to replace it")
        options.pop("replace_existing", None)
        task = Task(name=name, target=target, params=dict(options.pop("kwargs", {})), **_taken(options, _POLICY))
        schedule = self._schedule(name, trigger, options)
        trigger_of(schedule)
        self._center.learn(task)
        self._center.book.save_schedules([schedule])
        return self.get(name)

    def remove(self, job_id: str) -> None:
        self._known(job_id)
        self._center.book.remove_schedules([job_id])

    def pause(self, job_id: str, *, on: bool) -> None:
        self._known(job_id)
        self._center.queue.pause("schedule", job_id, on=on)

    def get(self, job_id: str) -> Job:
        return next(job for job in self.all() if job.id == job_id)

    def all(self) -> list[Job]:
        paused, now = self._center.book.paused_schedules(), self._center.book.now_ms()
        jobs = []
        for name, (schedule, fired) in sorted(self._center.book.load_schedules().items()):
            next_ms = None if name in paused else trigger_of(schedule).next(max(fired.last_ms, now))
            when = datetime.fromtimestamp(next_ms / 1000, UTC).astimezone() if next_ms else None
            words = describe(schedule.trigger, schedule.args, schedule.timezone, "en")
            jobs.append(Job(name, f"Task_{name}", when, words))
        return jobs

    def _schedule(self, name: str, trigger: str, options: dict[str, Any]) -> Schedule:
        usual = self._center.settings.scheduler
        own = _taken(options, _SCHEDULE)
        grace = own.get("misfire_grace_time")
        return Schedule(
            name=name,
            task=name,
            trigger=trigger,
            args={key: _plain(value) for key, value in options.items()},
            timezone=str(own.get("timezone") or usual.timezone),
            misfire_grace_ms=round((usual.job_defaults.misfire_grace_time.total_seconds() if grace is None else grace) * 1000),
            coalesce=own.get("coalesce", usual.job_defaults.coalesce),
            max_instances=usual.job_defaults.max_instances,
            source="api",
        )

    def _known(self, job_id: str) -> None:
        self._require_running()
        known = self._center.book.load_schedules()
        if job_id not in known:
            raise JobLookupError(f"no job {job_id!r}{did_you_mean(job_id, known)}")

    def _require_running(self) -> None:
        if not self._center.is_running:
            raise RuntimeError("调度器未运行")


def reference(func: Callable[..., Any] | str) -> str:
    """``module:function`` of something importable; ValueError for closures, lambdas, methods and ``__main__``."""
    text = func if isinstance(func, str) else f"{getattr(func, '__module__', '')}:{getattr(func, '__qualname__', '')}"
    if not re.fullmatch(r"[A-Za-z_][\w.]*(:[A-Za-z_]\w*)?", text) or text.startswith("__main__"):
        raise ValueError(
            f"{text} cannot be imported by another process: give a function at the top level of a module, or 'module:function'"
        )
    return text


def _taken(options: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: options.pop(name) for name in names if name in options}


def _plain(value: Any) -> Any:
    """Dates as the text that JSON and the triggers understand."""
    if isinstance(value, datetime | date):
        return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
    return dict(value) if isinstance(value, Mapping) else value
