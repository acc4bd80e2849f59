"""The metrics of task executions, under the names that dashboards know; shared by @monitor_task and the centre's own registry."""

from collections.abc import Sequence
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

Collector = TypeVar("Collector", bound=MetricWrapperBase)

DURATIONS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)


def collector(
    registry: CollectorRegistry, kind: type[Collector], name: str, text: str, labels: Sequence[str] = (), **options: Any
) -> Collector:
    """The ``kind`` called ``name`` in ``registry``: the one that is there already, or a new one.

    A second import or a second centre in one process would else end in "Duplicated timeseries".
    """
    known = registry._names_to_collectors.get(name)  # noqa: SLF001 - the library has no public look-up by name
    if isinstance(known, kind):
        return known
    return kind(name, text, labels, registry=registry, **options)


class TaskMetrics:
    """Executions by result, durations, and what runs now, each by ``task_name``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        by = ("task_name",)
        ended = "Attempts that ended, by result: success or failure."
        self.executions = collector(registry, Counter, "scheduler_task_executions_total", ended, (*by, "status"))
        self.duration = collector(
            registry, Histogram, "scheduler_task_duration_seconds", "How long attempts took.", by, buckets=DURATIONS_S
        )
        self.active = collector(registry, Gauge, "scheduler_active_tasks", "Attempts that run now.", by)
