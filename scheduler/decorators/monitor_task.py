"""@monitor_task: counts a task's executions and failures, their durations, and how many run now."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scheduler.decorators import arguments
from scheduler.decorators.around import AnyFunction, Function, around, decorator

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


def monitor_task(task_name: str | None = None, *, registry: "CollectorRegistry | None" = None) -> Callable[[Function], Function]:
    """Measure under ``task_name`` (default: the function's name).

    In the centre every task is measured; the decorator only names the label. Alone, it counts in ``registry``, by default
    prometheus-client's own.
    """
    if callable(task_name):
        raise TypeError(f"monitor_task: {task_name!r} is not a name{arguments.parentheses('monitor_task', task_name)}")

    def name_of(func: AnyFunction) -> str:
        return task_name or func.__name__

    return decorator("monitor_task", lambda func: around(func, guard=lambda: _measured(registry, name_of(func))), metric=name_of)


@contextmanager
def _measured(registry: "CollectorRegistry | None", name: str) -> Iterator[None]:
    """One execution. A cancelled coroutine or Ctrl-C is neither success nor failure."""
    from prometheus_client import REGISTRY  # 70 ms to import, only for those who use it alone

    from scheduler.decorators.task_metrics import TaskMetrics  # it imports prometheus_client

    metrics = TaskMetrics(registry or REGISTRY)
    with metrics.active.labels(name).track_inprogress(), metrics.duration.labels(name).time():
        try:
            yield
        except Exception:
            metrics.executions.labels(name, "failure").inc()
            raise
    metrics.executions.labels(name, "success").inc()
