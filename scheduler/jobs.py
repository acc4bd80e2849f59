"""The seed's job API over schedules: add, remove, pause, resume, list; with the seed's errors."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from scheduler.catalogue import trigger_of
from scheduler.core.errors import PluginError
from scheduler.core.ids import NAME
from scheduler.core.nearest import did_you_mean
from scheduler.core.ports import FiredState
from scheduler.core.task import Schedule, Task
from scheduler.intake import encode_params
from scheduler.plugins.loader import resolve
from scheduler.settings.task import Policy
from scheduler.triggers import TriggerError, describe

if TYPE_CHECKING:
    from scheduler.center import SchedulerCenter

_POLICY = ("max_attempts", "priority", "queue", "executor", "max_instances")
_TIMING = ("misfire_grace_time", "coalesce")


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
        self._require_free(name, replace=options.pop("replace_existing", False))
        options.pop("name", None)
        params = options.pop("kwargs", None) or {}
        encode_params(params)
        policy = _taken(options)
        schedule = self._schedule(name, trigger, options, policy)
        trigger_of(schedule)
        self._center.learn(Task(name=name, target=target, params=dict(params), **{key: getattr(policy, key) for key in _POLICY}))
        self._center.book.save_schedules([schedule])
        return self.get(name)

    def remove(self, job_id: str) -> None:
        self._known(job_id)
        self._center.book.remove_schedules([job_id])

    def pause(self, job_id: str, *, on: bool) -> None:
        self._known(job_id)
        self._center.queue.pause("schedule", job_id, on=on)

    def get(self, job_id: str) -> Job:
        book = self._center.book
        schedule = book.get_schedule(job_id)
        if schedule is None:
            raise self._unknown(job_id)
        return _job(schedule, FiredState(0, 0), book.now_ms(), paused=job_id in book.paused_schedules())

    def all(self) -> list[Job]:
        book = self._center.book
        paused, now_ms = book.paused_schedules(), book.now_ms()
        return [_job(schedule, fired, now_ms, paused=name in paused) for name, (schedule, fired) in sorted(book.load_schedules().items())]

    def _schedule(self, name: str, trigger: str, options: Mapping[str, Any], policy: Policy) -> Schedule:
        usual = self._center.settings.scheduler
        grace, coalesce = policy.misfire_grace_time, policy.coalesce
        return Schedule(
            name=name,
            task=name,
            trigger=trigger,
            args={key: _plain(value) for key, value in options.items()},
            timezone=str(options.get("timezone") or usual.timezone),
            misfire_grace_ms=(usual.job_defaults.misfire_grace_time if grace is None else grace) // timedelta(milliseconds=1),
            coalesce=usual.job_defaults.coalesce if coalesce is None else coalesce,
            max_instances=policy.max_instances or usual.job_defaults.max_instances,
            source="api",
        )

    def _require_free(self, name: str, *, replace: bool) -> None:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ValueError(f"job id {name!r}: small letters, digits, _ . -, at most 64")
        if name in self._center.settings.tasks:
            raise ValueError(f"{name!r} is a task of the configuration: change it there, or choose another id")
        if not replace and self._center.book.get_schedule(name) is not None:
            raise ValueError(f"job {name!r} exists already; pass replace_existing=True to replace it")

    def _known(self, job_id: str) -> None:
        self._require_running()
        if self._center.book.get_schedule(job_id) is None:
            raise self._unknown(job_id)

    def _unknown(self, job_id: str) -> JobLookupError:
        return JobLookupError(f"no job {job_id!r}{did_you_mean(job_id, self._center.book.load_schedules())}")

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


def _job(schedule: Schedule, fired: FiredState, now_ms: int, *, paused: bool) -> Job:
    """One that cannot be built here (its class is missing) is shown all the same: it may well fire elsewhere."""
    try:
        next_ms = None if paused else trigger_of(schedule).next(max(fired.last_ms, now_ms))
        words = describe(schedule.trigger, schedule.args, schedule.timezone, "en")
    except (PluginError, TriggerError) as error:
        next_ms, words = None, f"{schedule.trigger}: {error}"
    when = datetime.fromtimestamp(next_ms / 1000, UTC).astimezone() if next_ms else None
    return Job(schedule.name, f"Task_{schedule.name}", when, words)


def _taken(options: dict[str, Any]) -> Policy:
    """What a task file knows, taken out of ``options`` and held to the same rules; ValueError names what breaks them."""
    given = {name: options.pop(name) for name in (*_POLICY, *_TIMING) if name in options}
    try:
        return Policy.model_validate(given)
    except ValidationError as error:
        wrong = [(detail["loc"][0], detail["msg"].removeprefix("Value error, ")) for detail in error.errors()]
        raise ValueError("; ".join(f"{name}={given.get(str(name))!r}: {message}" for name, message in wrong)) from error


def _plain(value: Any) -> Any:
    """Dates as the text that JSON and the triggers understand."""
    if isinstance(value, datetime | date):
        return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
    return dict(value) if isinstance(value, Mapping) else value
