"""@monitor_task: counts a task's executions and failures, their durations, and how many run now."""

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from scheduler.core.clock import perf_counter
from scheduler.core.marks import mark
from scheduler.decorators import arguments
from scheduler.decorators.around import Function, around

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from scheduler.decorators.task_metrics import TaskMetrics


def monitor_task(task_name: str | None = None, *, registry: "CollectorRegistry | None" = None) -> Callable[[Function], Function]:
    """Measure under ``task_name`` (default: the function's name).

    In the centre every task is measured; the decorator only names the label. Alone, it counts in ``registry``, by default
    prometheus-client's own.
    """
    if callable(task_name):
        raise TypeError("monitor_task: write @monitor_task(…) with parentheses")

    def decorator(func: Function) -> Function:
        name = task_name or arguments.function("monitor_task", func).__name__
        wrapper = around(func, lambda: _Watch(_metrics(registry), name))
        mark(wrapper, func, metric=name)
        return cast("Function", wrapper)

    return decorator


def _metrics(registry: "CollectorRegistry | None") -> "TaskMetrics":
    from prometheus_client import REGISTRY  # 70 ms to import, only for those who use it alone

    from scheduler.decorators.task_metrics import TaskMetrics  # it imports prometheus_client

    return TaskMetrics(registry or REGISTRY)


class _Watch:
    """One execution, from start to end."""

    def __init__(self, metrics: "TaskMetrics", name: str) -> None:
        self._metrics, self._name = metrics, name

    def __enter__(self) -> Self:
        self._metrics.active.labels(self._name).inc()
        self._started_s = perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        metrics, name = self._metrics, self._name
        metrics.duration.labels(name).observe(perf_counter() - self._started_s)
        metrics.active.labels(name).dec()
        if kind is None or issubclass(kind, Exception):  # a cancelled coroutine or Ctrl-C is neither
            metrics.executions.labels(name, "failure" if kind else "success").inc()
