"""One task of a task file: its configuration, its place in the file, and the core's Task and Schedule made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from scheduler.core.backoff import Backoff
from scheduler.core.errors import ConfigError
from scheduler.core.task import GpuNeed, RateLimit, Schedule, Task
from scheduler.settings import nodes
from scheduler.settings.env import Centre
from scheduler.settings.problems import find, validate
from scheduler.settings.task import BackoffConfig, TaskConfig, over

_ONE_MS = timedelta(milliseconds=1)
_GROWING_FROM = timedelta(seconds=1)  # a back-off with no retry_delay grows from here: 1, 2, 4 s …
_SAME = (Task.__dataclass_fields__.keys() & TaskConfig.model_fields.keys()) - {"backoff", "gpu"}
_SAME_OF_SCHEDULE = ("trigger", "args", "misfire", "catch_up_max", "overlap")


@dataclass(frozen=True, slots=True)
class TaskEntry:
    """A task as its file says it. ``config`` is the file's word: the task's own keys over the file's ``defaults:``.

    The whole order, weakest first: built-in defaults, ``defaults:``, decorators on ``run``, the task's own keys. A key
    replaces the weaker one entirely; mappings are not mixed.
    """

    name: str
    config: TaskConfig
    file: Path
    written: Mapping[str, Any] = field(repr=False)  # the task's own keys
    defaults: Mapping[str, Any] = field(repr=False)
    place: nodes.Place = field(repr=False)
    node: nodes.Node = field(repr=False)

    @property
    def module(self) -> str:
        """What to load: ``pkg.mod`` or ``pkg.mod:function`` as written, else the module named as the task."""
        return self.config.module or self.name

    def where(self, *keys: object) -> str:
        """``config/dev.yaml:12:5``: the place of the value at ``keys`` (of the key, for a mapping or list), or of the nearest parent."""
        return str(find(self.node, keys, self.place).place)

    def to_task(self, target: str, marks: Mapping[str, Any], version: str = "") -> Task:
        """The definition that workers run; ConfigError tells what the decorators may not say.

        ``marks``: what the decorators on ``target`` say, in the task file's own keys and shapes, and ``metric`` and ``log_runs``.
        """
        return task_of(self.name, self._under(policy_marks(marks), target), target, marks, version)

    def to_schedule(self, centre: Centre) -> Schedule | None:
        """When the task fires, with what env.yaml says for all schedules; None for ``trigger: none`` and ``enabled: false``."""
        fires = self.config.trigger != "none" and self.config.enabled
        return schedule_of(self.name, self.config, centre) if fires else None

    def _under(self, marks: Mapping[str, Any], target: str) -> TaskConfig:
        """The configuration with the decorators' marks between the file's defaults and the task's own keys."""
        problems: list[nodes.Problem] = []
        policy = validate(TaskConfig, over(over(self.defaults, marks), self.written), self.node, problems) if marks else self.config
        if policy is None:
            raise ConfigError([f"{target}: a decorator says of task {self.name}: {problem.message}" for problem in problems])
        return policy


def policy_marks(marks: Mapping[str, Any]) -> dict[str, Any]:
    """What decorators say that a task file can say too."""
    return {key: value for key, value in marks.items() if key not in ("metric", "log_runs")}


def task_of(name: str, policy: TaskConfig, target: str, marks: Mapping[str, Any], version: str = "") -> Task:
    """The core's Task of a policy; of ``marks`` only ``metric`` and ``log_runs`` count, which no policy has."""
    need = policy.gpu
    return Task(
        name=name,
        target=target,
        **{field: getattr(policy, field) for field in _SAME},
        backoff=_backoff(policy),
        timeout_ms=_ms(policy.timeout) if policy.timeout else None,
        rate_limits=tuple(RateLimit(limit.max_calls, _ms(limit.time_window)) for limit in policy.rate_limit),
        gpu=GpuNeed(round(need.min_memory_gb * 1024), need.max_utilization, need.count) if need else None,
        metric=marks.get("metric"),
        log_runs=bool(marks.get("log_runs", False)),
        version=version,
    )


def schedule_of(name: str, config: TaskConfig, centre: Centre, source: Literal["yaml", "api"] = "yaml") -> Schedule:
    """The core's Schedule of a task, with what env.yaml says for all of them."""
    usual, grace = centre.job_defaults, config.misfire_grace_time
    return Schedule(
        name=name,
        task=name,
        **{field: getattr(config, field) for field in _SAME_OF_SCHEDULE},
        timezone=str(config.args.get("timezone") or centre.timezone),
        misfire_grace_ms=_ms(usual.misfire_grace_time if grace is None else grace),
        coalesce=usual.coalesce if config.coalesce is None else config.coalesce,
        max_instances=config.max_instances or usual.max_instances,
        source=source,
    )


def _ms(duration: timedelta) -> int:
    return duration // _ONE_MS


def _backoff(policy: TaskConfig) -> Backoff:
    growth = policy.backoff or BackoffConfig(strategy="fixed")
    delay = _GROWING_FROM if policy.backoff and "retry_delay" not in policy.model_fields_set else policy.retry_delay
    # A written cap holds for a delay that grows; the built-in one must not shorten a longer written delay.
    capped = growth.strategy != "fixed" and "max_delay" in growth.model_fields_set
    most = growth.max_delay if capped else max(growth.max_delay, delay)
    return Backoff(_ms(delay), growth.strategy, growth.multiplier, _ms(most), growth.jitter)
