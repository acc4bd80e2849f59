"""The seed's job API over schedules: add, remove, pause, resume, list; with the seed's errors."""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from scheduler.catalogue import in_its_slot, trigger_of
from scheduler.core.errors import ParamsError, PluginError
from scheduler.core.ids import NAME
from scheduler.core.nearest import did_you_mean
from scheduler.core.ports import FiredState
from scheduler.core.states import Reason
from scheduler.core.task import Schedule
from scheduler.intake import encode_params
from scheduler.plugins.params import check_params
from scheduler.plugins.probe import look
from scheduler.settings.entry import policy_marks, schedule_of, task_of
from scheduler.settings.task import Policy, TaskConfig, over
from scheduler.triggers import TriggerError, describe

if TYPE_CHECKING:
    from scheduler.center import SchedulerCenter

_NOT_HERE = {"trigger", "args", "params", "depends_on", "on_failure", "on_success", "on_recovery", "sla", "enabled", "on_remove"}
_POLICY = {key for key, field in Policy.aliases().items() if field not in _NOT_HERE} | (Policy.model_fields.keys() - _NOT_HERE)


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
        """A schedule for ``func``, a function that another process can import; it fires on whichever instance leads.

        Options: ``id``, ``name``, ``kwargs`` (its params), ``replace_existing``, the arguments of the trigger, and what a task file may
        say of a task: max_attempts, retry_delay, timeout, rate_limit, priority, queue, executor, coalesce … What is wrong is a ValueError.
        """
        self._require_running()
        found = look(reference(func))  # an unknown module or function is an error here, not at three in the morning
        name = options.pop("id", None) or found.target.rpartition(":")[2].lower()
        self._require_free(name, replace=options.pop("replace_existing", False))
        config = _config(trigger, options, found.marks)
        encode_params(config.params)
        if wrong := check_params(found, config.params):
            raise ParamsError(f"job {name}: {'; '.join(wrong)}")
        schedule = schedule_of(name, config, self._center.settings.scheduler, source="api")
        trigger_of(schedule)
        self._center.learn(in_its_slot(task_of(name, config, found.target, found.marks), found))
        self._center.book.save_schedules([schedule])
        return self.get(name)

    def remove(self, job_id: str) -> None:
        """Its waiting Runs are cancelled, if a program had added it."""
        self._known(job_id)
        self._center.book.remove_schedules([job_id])
        if job_id not in self._center.settings.tasks:
            self._center.queue.withdraw(job_id, Reason.TASK_REMOVED)

    def pause(self, job_id: str, *, on: bool) -> None:
        self._known(job_id)
        self._center.queue.pause("schedule", job_id, on=on)

    def get(self, job_id: str) -> Job:
        book = self._center.book
        schedule = book.get_schedule(job_id)
        if schedule is None:
            raise self._unknown(job_id)
        return self._job(schedule, FiredState(0, 0), book.now_ms(), paused=job_id in book.paused_schedules())

    def all(self) -> list[Job]:
        book = self._center.book
        paused, now_ms = book.paused_schedules(), book.now_ms()
        known = sorted(book.load_schedules().items())
        return [self._job(schedule, fired, now_ms, paused=name in paused) for name, (schedule, fired) in known]

    def _job(self, schedule: Schedule, fired: FiredState, now_ms: int, *, paused: bool) -> Job:
        """One that cannot be built here (its class is missing) is shown all the same: it may well fire elsewhere."""
        task, next_ms = self._center.find_task(schedule.task), None
        try:
            if task is not None and not paused:
                next_ms = trigger_of(schedule).next(max(fired.last_ms, now_ms))
            words = describe(schedule.trigger, schedule.args, schedule.timezone, "en")
        except (PluginError, TriggerError) as error:
            words = f"{schedule.trigger}: {error}"
        when = datetime.fromtimestamp(next_ms / 1000, ZoneInfo(self._center.settings.scheduler.timezone)) if next_ms else None
        title = task.description if task is not None and schedule.source == "api" else ""
        return Job(schedule.name, title or f"Task_{schedule.name}", when, words)

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


def _config(trigger: str, options: dict[str, Any], marks: Mapping[str, Any]) -> TaskConfig:
    """What the options say, over what decorators say, held to the rules of a task file; ValueError names what breaks them."""
    if not isinstance(trigger, str) or trigger == "none":
        raise ValueError(f"trigger {trigger!r}: give the name of one, such as interval, cron or date, and its arguments beside it")
    if options.pop("args", None):
        raise ValueError("args: the params of a task have names; give them as kwargs={…}")
    title, params = options.pop("name", None) or "", options.pop("kwargs", None) or {}
    policy = {key: options.pop(key) for key in _POLICY & options.keys()}
    said = {**policy, "trigger": trigger, "args": {key: _plain(value) for key, value in options.items()}, "params": dict(params)}
    try:
        return TaskConfig.model_validate(over(policy_marks(marks), {**said, "description": str(title)}))
    except ValidationError as error:
        wrong = [(detail["loc"][0], detail["msg"].removeprefix("Value error, ")) for detail in error.errors()]
        raise ValueError("; ".join(f"{name}={said.get(str(name))!r}: {message}" for name, message in wrong)) from error


def _plain(value: Any) -> Any:
    """Dates as the text that JSON and the triggers understand."""
    if isinstance(value, datetime | date):
        return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
    return dict(value) if isinstance(value, Mapping) else value
