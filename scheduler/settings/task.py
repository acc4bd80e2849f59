"""The shape of a task file: every key of a task, its default, and what it may say."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from string import Formatter
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, ValidationInfo

from scheduler.core.backoff import Jitter, Strategy
from scheduler.core.task import Executor, Misfire, Overlap
from scheduler.settings.fields import Duration, Filled, Flag, Memory, Name, Names, Section, SomeTime, empty, names, number, text_like
from scheduler.settings.nearest import did_you_mean

TriggerKind = Literal["interval", "cron", "date", "calendar_interval", "or", "and", "custom", "none"]

_RATE = r"\s*(\d+)\s*/\s*(\d.*|ms|s|m|h|d|w)"
_WORD = r"[^\W\d]\w*"


class RateLimitConfig(Section):
    """At most ``max_calls`` Runs in ``time_window``, over all instances."""

    max_calls: Annotated[int, number(1)]
    time_window: SomeTime


class BackoffConfig(Section):
    """How ``retry_delay`` grows from attempt to attempt."""

    hints: ClassVar[dict[str, str]] = {"factor": "multiplier", **dict.fromkeys(("interval", "base_delay"), "retry_delay beside backoff")}

    strategy: Strategy = "exponential"
    multiplier: Annotated[float, number(0.1, 1_000, whole=False)] = 2.0
    max_delay: SomeTime = timedelta(hours=1)
    jitter: Jitter = "none"


class GpuConfig(Section):
    """What a Run asks of each of ``count`` cards."""

    hints: ClassVar[dict[str, str]] = {"memory": "min_memory_gb", "gpus": "count", "number": "count"}

    min_memory_gb: Annotated[float, number(0, whole=False)] = Field(0, validation_alias=AliasChoices("min_memory_gb", "min_gpu_memory_gb"))
    """Free memory in GiB."""
    max_utilization: Annotated[float, number(0, 100, whole=False)] = Field(
        0, validation_alias=AliasChoices("max_utilization", "min_gpu_utilization")
    )
    """Percent: a card is taken when its utilisation is below this; 0: no condition."""
    count: Annotated[int, number(1, 64)] = 1


class Sla(Section):
    """A promise: the task succeeds at least once in every such time."""

    every: SomeTime


def _rate(value: object) -> object:
    """``5/1m``, ``10/s`` or ``5/60`` as a limit."""
    if isinstance(value, Mapping | RateLimitConfig):
        return value
    with suppress(ValueError):
        if match := re.fullmatch(_RATE, str(value)):
            window = match[2] if match[2][0].isdigit() else f"1{match[2]}"
            return RateLimitConfig.model_validate({"max_calls": int(match[1]), "time_window": window})
    raise ValueError('must be calls per time, such as "5/1m" or "10/s", or {max_calls: 5, time_window: 60}, or a list of these')


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _task(value: str, info: ValidationInfo) -> str:
    """The name of a task; the context ``tasks``, where it is given, says which there are."""
    known = (info.context or {}).get("tasks")
    if known is not None and value not in known:
        raise ValueError(f'must be a task, and "{value}" is no task{did_you_mean(value, known)}')
    return value


def key_parts(template: str) -> list[tuple[str, str | None]]:
    """A concurrency key as texts, each with the parameter that follows; ValueError for any braces but ``{params.NAME}`` or ``{NAME}``."""
    parts = list(Formatter().parse(template))
    if any(
        spec or conversion or not re.fullmatch(rf"(?:params\.)?{_WORD}", name) for _, name, spec, conversion in parts if name is not None
    ):
        raise ValueError("braces around something else than params.NAME")
    return [(text, name and name.removeprefix("params.")) for text, name, _, _ in parts]


def _key(value: str) -> str:
    with suppress(ValueError):
        key_parts(value)
        return value
    raise ValueError("may have braces only as {params.NAME}, where the parameter NAME of the Run is filled in")


_OneRate: Any = Annotated[str, Field(pattern=f"^{_RATE}$")] | RateLimitConfig
RateLimits = Annotated[
    tuple[Annotated[RateLimitConfig, BeforeValidator(_rate)], ...],
    BeforeValidator(_listed, json_schema_input_type=_OneRate | list[_OneRate] | None),
]
Tasks = Annotated[tuple[Annotated[Filled, AfterValidator(_task)], ...], BeforeValidator(names, json_schema_input_type=str | list[str])]
ConcurrencyKey = Annotated[Filled, AfterValidator(_key)]
Module = Annotated[
    str, text_like(rf"{_WORD}(?:\.{_WORD})*(?::{_WORD})?", "must be a module, pkg.mod, or a function in it, pkg.mod:function")
]


class Policy(Section):
    """What may also stand under ``defaults:``, for all tasks of the file."""

    hints: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("max_retries", "max_retry_count", "retry_count", "retries"), "max_attempts, which counts the first try too"),
        "backoff_strategy": "backoff: {strategy: …}",
        "backoff_interval": "retry_delay",
        "backoff_multiplier": "backoff: {multiplier: …}",
        **dict.fromkeys(("min_gpu_memory_gb", "gpu_memory"), "gpu: {min_memory_gb: …}"),
        **dict.fromkeys(("min_gpu_utilization", "max_utilization"), "gpu: {max_utilization: …}"),
        **dict.fromkeys(("cron", "crontab", "schedule"), 'trigger: cron with args: {expression: "…"}'),
        "interval": "trigger: interval with args: {minutes: …}",
        **dict.fromkeys(("seconds", "minutes", "hours", "hour", "minute", "run_date", "timezone", "jitter"), "the same key under args:"),
        **dict.fromkeys(("kwargs", "parameters", "task_params"), "params"),
        **dict.fromkeys(("func", "function", "target", "task"), "module: pkg.mod:function"),
    }

    trigger: TriggerKind = "interval"
    """When the task runs; none: only when it is submitted."""
    args: dict[str, Any] = empty()
    """What the trigger needs: {minutes: 30}, {hour: 9, day_of_week: mon-fri}, {run_date: "2026-12-25 10:00:00"} …"""
    params: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Keyword arguments of run()."""
    executor: Executor = "default"
    """default: threads; processpool: killable processes; asyncio; ray."""
    queue: Name = "default"
    priority: Annotated[int, number(1, 10)] = 5
    """10 first."""
    max_attempts: Annotated[int, number(1, 10_000)] = 1
    """All tries, the first one included."""
    retry_delay: Duration = timedelta(0)
    """The wait before the next attempt; with backoff, before the second."""
    backoff: BackoffConfig | None = None
    retry_on: Names = ()
    """Names of the exceptions that are worth another attempt; none: every exception is."""
    give_up_on: Names = ()
    """Names of the exceptions that end the Run at once."""
    timeout: SomeTime | None = Field(None, validation_alias=AliasChoices("timeout", "exec_timeout", "task_timeout"))
    """Of one attempt."""
    rate_limit: RateLimits = ()
    """Calls per time over all instances; of a list, all must hold."""
    max_instances: Annotated[int, number(1)] | None = None
    """Runs of the task that may be at work at one time, over all instances, and unfinished Runs of its schedule."""
    overlap: Overlap = "allow"
    """What when the schedule's previous Run is still going."""
    misfire: Misfire = "run_once"
    """What becomes of instants that passed unseen for longer than the grace time."""
    misfire_grace_time: Duration | None = None
    coalesce: Flag | None = None
    catch_up_max: Annotated[int, number(1, 100_000)] = 100
    """With misfire: run_all, at most so many missed instants run."""
    concurrency_key: ConcurrencyKey | None = None
    """Runs with the same key share max_instances, for example "{params.tenant}"."""
    gpu: GpuConfig | None = None
    memory_limit: Memory | None = None
    """Of the whole process tree of an attempt (processpool)."""
    isolation: Literal["warm", "fresh"] = "warm"
    """fresh: a new process for each attempt."""
    depends_on: Tasks = ()
    """Tasks whose Run of the same cycle must have succeeded before. Does nothing yet."""
    on_failure: Names = ()
    """Names of notify channels. Does nothing yet."""
    on_success: Names = ()
    """Does nothing yet."""
    on_recovery: Names = ()
    """Does nothing yet."""
    sla: Sla | None = None
    """Does nothing yet."""
    tags: Names = ()
    owner: str = ""
    enabled: Flag = True
    on_remove: Literal["cancel", "keep"] = "cancel"
    """What becomes of the waiting Runs when the task is taken out of the file. Does nothing yet."""


def over(weaker: Mapping[str, Any], stronger: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of ``stronger``, and those of ``weaker`` that it does not say itself, under whichever of their names."""
    field = Policy.aliases()
    said = {field.get(key, key) for key in stronger}
    return {key: value for key, value in weaker.items() if field.get(key, key) not in said} | dict(stronger)


class TaskConfig(Policy):
    """One task: when it runs, how, and what to do when it fails."""

    description: str = ""
    module: Module | None = None
    """pkg.mod or pkg.mod:function; by default the module in the plugins folder that bears the task's name."""


class TaskFile(Section):
    """The tasks of one scheduling centre."""

    hints: ClassVar[dict[str, str]] = {"task": "tasks", "jobs": "tasks"}

    defaults: Policy = empty()
    """Keys for every task of this file that does not say otherwise."""
    tasks: dict[Name, TaskConfig] = empty()
