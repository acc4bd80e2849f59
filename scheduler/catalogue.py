"""The catalogue: what the configuration, the plugins and the triggers say together. A broken plugin is one broken task."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from scheduler.core.clock import SystemClock
from scheduler.core.errors import ConfigError, PluginError, SchedulerError
from scheduler.core.nearest import did_you_mean
from scheduler.core.task import Schedule, Task
from scheduler.plugins.loader import use_folder
from scheduler.plugins.params import check_params
from scheduler.plugins.probe import Probe, probe
from scheduler.settings import Settings, TaskEntry
from scheduler.settings.task import key_parts
from scheduler.triggers import TriggerError, apart, build_trigger
from scheduler.triggers.trigger import BuiltTrigger


@dataclass(slots=True)
class Catalogue:
    """Tasks that can run, schedules that fire, and the reason for each task that cannot."""

    tasks: dict[str, Task] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    probes: dict[str, Probe] = field(default_factory=dict)

    def fresh(self) -> "Catalogue":
        """A copy that can grow without changing this one."""
        return Catalogue(dict(self.tasks), dict(self.schedules), dict(self.broken), list(self.warnings), dict(self.probes))


def read_catalogue(settings: Settings) -> Catalogue:
    """Probe the plugins and put everything together; ConfigError where a trigger is wrong, all of them at once."""
    catalogue, problems = Catalogue(warnings=list(settings.warnings)), list[str]()
    entries = {name: entry for name, entry in settings.tasks.items() if entry.config.enabled}
    catalogue.probes = probe({name: entry.module for name, entry in entries.items()}, settings.plugins) if entries else {}
    for name, entry in entries.items():
        try:
            _add(catalogue, entry, catalogue.probes[name], settings)
        except ConfigError as error:
            problems += error.problems
        except SchedulerError as error:
            catalogue.broken[name] = str(error)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))  # one in the defaults is found for each task
    catalogue.warnings += _unserved(catalogue, settings)
    return catalogue


def _unserved(catalogue: Catalogue, settings: Settings) -> Iterator[str]:
    served = settings.worker.queues if settings.worker.processes else ()
    for queue in sorted({task.queue for task in catalogue.tasks.values()} - set(served)) if "*" not in served else ():
        names = ", ".join(name for name, task in catalogue.tasks.items() if task.queue == queue)
        yield f"no worker of this instance serves queue {queue} (tasks: {names})"


def _add(catalogue: Catalogue, entry: TaskEntry, found: Probe, settings: Settings) -> None:
    schedule = entry.to_schedule(settings.scheduler)
    if schedule is not None:
        _check_trigger(catalogue, entry, schedule)
    if not found.ok:
        placed = re.match(r"\S+:\d+: ", found.error)  # in the plugin itself
        raise PluginError(found.error if placed else f"{entry.where('module')}: {found.error}")
    if wrong := list(_misfits(entry, found, scheduled=schedule is not None)):
        raise PluginError("; ".join(wrong))
    task = entry.to_task(found.target, found.marks, found.version)
    if task.executor == "ray":
        raise PluginError(f"{entry.where('executor')}: executor ray comes with a later version; allowed are default, processpool, asyncio")
    task = in_its_slot(task, found)
    catalogue.tasks[entry.name] = task
    catalogue.warnings += [f"{entry.name}: {warning}" for warning in (*found.warnings, *soft_limits(task))]
    if schedule is not None:
        catalogue.schedules[entry.name] = schedule


def _misfits(entry: TaskEntry, found: Probe, *, scheduled: bool) -> Iterator[str]:
    """What of the params and the concurrency key does not fit the signature; a fire has no params but the task's own."""
    params = entry.config.params
    alone = {name: check_params(found, {name: value}, complete=False) for name, value in params.items()}
    yield from (f"{entry.where('params', name)}: {wrong}" for name, told in alone.items() for wrong in told)
    if missing := [wrong for wrong in check_params(found, params, complete=scheduled) if [wrong] not in alone.values()]:
        yield f"{entry.where('params')}: {'; '.join(missing)}"
    takes = {parameter.name for parameter in found.signature}
    for name in filter(None, (name for _, name in key_parts(entry.config.concurrency_key or ""))):
        if name not in takes and not any(parameter.kind == "var_keyword" for parameter in found.signature):
            yield f"{entry.where('concurrency_key')}: {found.target} has no parameter {name!r}{did_you_mean(name, takes)}"
        elif scheduled and name not in params:
            yield f"{entry.where('concurrency_key')}: a fire has no parameter {name!r}: give it under params"


def in_its_slot(task: Task, found: Probe) -> Task:
    """An ``async def`` for which no executor was chosen is a coroutine."""
    return replace(task, executor="asyncio") if found.kind == "async" and task.executor == "default" else task


def _check_trigger(catalogue: Catalogue, entry: TaskEntry, schedule: Schedule) -> None:
    """Once its last instant has passed the task is broken alone: a start on the day after must not fail as a whole."""
    try:
        over = trigger_of(schedule).next(SystemClock().now_ms()) is None
    except TriggerError as error:
        raise ConfigError([f"{entry.where('args', *error.key)}: {error}"]) from error
    if over and schedule.trigger == "date":  # one that has run stays in its file
        catalogue.warnings.append(f"{entry.where('args', 'run_date')}: its instant {schedule.args['run_date']} has passed: it will not run")
    elif over:
        last = "end_date" if "end_date" in schedule.args else "year"
        raise SchedulerError(f"{entry.where('args', last)}: {schedule.trigger} never fires again: its last instant has passed")


def trigger_of(schedule: Schedule) -> BuiltTrigger:
    """The schedule's trigger; a custom class never comes into this process."""
    classes = {text: partial(apart.build_apart, text) for text in _custom_classes(schedule.trigger, schedule.args)}
    return build_trigger(schedule.trigger, schedule.args, schedule.timezone, register=classes)


def _custom_classes(kind: str, args: Mapping[str, object]) -> Iterable[str]:
    if kind == "custom" and isinstance(args.get("class"), str):
        yield str(args["class"])
    nested = args.get("triggers")
    for part in nested if isinstance(nested, list) else []:
        if isinstance(part, Mapping):
            inner = part.get("args")
            yield from _custom_classes(str(part.get("trigger")), inner if isinstance(inner, Mapping) else {})


def soft_limits(task: Task) -> list[str]:
    """Promises that this kind of slot cannot keep hard."""
    limits, place = [], "thread" if task.slot == "default" else "coroutine"
    if task.timeout_ms is not None and task.slot != "processpool":
        limits.append(f"timeout in a {place}: code that does not return from C cannot be killed; executor: processpool can")
    if task.memory_limit is not None and task.slot != "processpool":
        limits.append("memory_limit holds for executor: processpool only")
    return limits


def use_plugins(settings: Settings) -> None:
    """Make the plugin folder importable for custom triggers, and in this process for workers inside it."""
    if settings.plugins.is_dir():
        use_folder(settings.plugins)
        apart.use_folder(settings.plugins)
