import asyncio
import importlib

import pytest
from prometheus_client import CollectorRegistry

from scheduler.core.marks import marks_of
from scheduler.decorators import monitor_task, task_metrics


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def executions(registry: CollectorRegistry, name: str, status: str) -> float | None:
    return registry.get_sample_value("scheduler_task_executions_total", {"task_name": name, "status": status})


def test_successes_failures_and_durations_are_counted(registry: CollectorRegistry) -> None:
    active: list[float | None] = []

    @monitor_task("nightly", registry=registry)
    def run(number: int) -> float:
        active.append(registry.get_sample_value("scheduler_active_tasks", {"task_name": "nightly"}))
        return 1 / number

    assert run(2) == 0.5
    with pytest.raises(ZeroDivisionError):
        run(0)
    assert active == [1, 1]
    assert executions(registry, "nightly", "success") == 1
    assert executions(registry, "nightly", "failure") == 1
    assert registry.get_sample_value("scheduler_task_duration_seconds_count", {"task_name": "nightly"}) == 2
    assert registry.get_sample_value("scheduler_active_tasks", {"task_name": "nightly"}) == 0
    assert marks_of(run) == {"metric": "nightly"}


def test_the_functions_name_is_the_default(registry: CollectorRegistry) -> None:
    @monitor_task(registry=registry)
    async def crawl() -> str:
        await asyncio.sleep(0)
        return "ok"

    assert asyncio.run(crawl()) == "ok"
    assert executions(registry, "crawl", "success") == 1
    assert marks_of(crawl) == {"metric": "crawl"}


def test_an_interrupt_is_neither_success_nor_failure(registry: CollectorRegistry) -> None:
    @monitor_task(registry=registry)
    def run() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert executions(registry, "run", "failure") is None
    assert registry.get_sample_value("scheduler_active_tasks", {"task_name": "run"}) == 0


def test_the_clients_own_registry_serves_by_default() -> None:
    from prometheus_client import REGISTRY

    @monitor_task("in_the_default_registry")
    def run() -> None: ...

    run()
    assert executions(REGISTRY, "in_the_default_registry", "success") == 1


def test_a_second_import_finds_the_metrics_of_the_first(registry: CollectorRegistry) -> None:
    first = task_metrics.TaskMetrics(registry)
    again = importlib.reload(task_metrics).TaskMetrics(registry)
    assert again.executions is first.executions
    assert again.duration is first.duration
    assert again.active is first.active


def test_a_name_taken_by_another_kind_of_metric_is_still_an_error(registry: CollectorRegistry) -> None:
    from prometheus_client import Gauge

    Gauge("scheduler_task_executions_total", "somebody else's", registry=registry)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        task_metrics.TaskMetrics(registry)


def test_forgotten_parentheses_are_named() -> None:
    with pytest.raises(TypeError, match=r"write @monitor_task\(…\) with parentheses"):

        @monitor_task
        def run() -> None: ...
