"""What may run and when: Task, Schedule and their policies, as plain data that survives a trip through JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from scheduler.core.backoff import Backoff

Executor = Literal["default", "processpool", "asyncio", "ray"]
Overlap = Literal["allow", "skip", "queue_one", "replace"]
Misfire = Literal["run_once", "run_all", "skip"]


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most ``max_calls`` at once, refilled evenly over ``window_ms`` (GCRA), across all instances."""

    max_calls: int
    window_ms: int


@dataclass(frozen=True, slots=True)
class GpuNeed:
    """What a Run asks of each of ``count`` cards; 0 means no condition. Memory in MiB, utilisation in percent (admitted when below)."""

    min_memory_mb: int = 0
    max_utilization: float = 0
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A definition: the plugin and its policy. Times are milliseconds, sizes bytes.

    ``target`` is ``module:function`` or ``module:Class``. ``max_attempts`` counts all tries. ``max_instances`` bounds the
    Runs at work at one time over all instances (None: no bound); with a ``concurrency_key`` it counts per key.
    """

    name: str
    target: str
    description: str = ""
    executor: Executor = "default"
    queue: str = "default"
    priority: int = 5
    params: Mapping[str, Any] = field(default_factory=dict)
    max_attempts: int = 1
    backoff: Backoff = field(default_factory=Backoff)
    retry_on: tuple[str, ...] = ()
    give_up_on: tuple[str, ...] = ()
    timeout_ms: int | None = None
    rate_limits: tuple[RateLimit, ...] = ()
    max_instances: int | None = None
    concurrency_key: str | None = None
    gpu: GpuNeed | None = None
    memory_limit: int | None = None
    isolation: Literal["warm", "fresh"] = "warm"
    metric: str | None = None  # the label of its metrics where @monitor_task names one
    log_runs: bool = False  # @log_execution: a start and an end line in the Run's log
    version: str = ""  # content hash of the module that was probed
    tags: tuple[str, ...] = ()
    owner: str = ""

    @property
    def slot(self) -> Executor:
        """Which kind of slot its attempts need: a GPU is only ever given to a process of its own."""
        return "processpool" if self.gpu or self.isolation == "fresh" else self.executor

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``, also after a trip through JSON."""
        values = dict(data)
        values["backoff"] = Backoff(**values["backoff"])
        values["rate_limits"] = tuple(RateLimit(**limit) for limit in values["rate_limits"])
        values["gpu"] = GpuNeed(**values["gpu"]) if values["gpu"] else None
        for name in ("retry_on", "give_up_on", "tags"):
            values[name] = tuple(values[name])
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A Task, a trigger and arguments. ``trigger`` is the configuration as written: its kind, and the arguments of that kind.

    ``max_instances`` bounds the unfinished Runs this schedule may have; ``source`` is ``yaml`` or ``api``.
    """

    name: str
    task: str
    trigger: str
    args: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    timezone: str = "UTC"
    misfire: Misfire = "run_once"
    misfire_grace_ms: int = 30_000
    coalesce: bool = False
    catch_up_max: int = 100
    overlap: Overlap = "allow"
    max_instances: int = 3
    source: Literal["yaml", "api"] = "yaml"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(**data)
