from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from scheduler.core.events import Event
from scheduler.core.ids import fire_id, fire_instant
from scheduler.observe.metrics import Metrics, Snapshot

SECOND = 1_785_000_000_000


def event(kind: str, subject: str = "r1", task: str = "data_sync", **more: Any) -> Event:
    facts = {"at": "1-0/0", "ms": SECOND, "token": 1, "worker": "w", "reason": "", "duration_ms": 0.0, "detail": ""} | more
    return Event(type=kind, subject=subject, task=task, **facts)


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def executions(metrics: Metrics, status: str, task: str = "data_sync") -> float | None:
    return sample(metrics, "scheduler_task_executions_total", task_name=task, status=status)


def active(metrics: Metrics, task: str = "data_sync") -> float | None:
    return sample(metrics, "scheduler_active_tasks", task_name=task)


def test_a_run_from_submission_to_success() -> None:
    metrics = Metrics()
    metrics.observe([event("pending", token=0), event("running")])
    assert active(metrics) == 1
    metrics.observe([event("succeeded", duration_ms=2500)])
    assert active(metrics) == 0
    assert executions(metrics, "success") == 1
    assert executions(metrics, "failure") == 0
    assert sample(metrics, "scheduler_task_duration_seconds_sum", task_name="data_sync") == 2.5
    assert sample(metrics, "scheduler_runs_total", state="succeeded", reason="") == 1
    assert sample(metrics, "scheduler_runs_total", state="pending", reason="") == 1


@pytest.mark.parametrize(
    ("ends", "failures", "durations"),
    [
        (event("failed", reason="error", duration_ms=10), 1, 1),
        (event("dead", reason="timed_out", duration_ms=10), 1, 1),
        (event("delayed", reason="error", duration_ms=10), 1, 1),  # to be tried again
        (event("pending", reason="lost"), 1, 0),  # rescued: nobody knows how long it ran
        (event("pending", reason="shutdown", duration_ms=10), 0, 0),  # handed back
        (event("pending", reason="gpu_busy", duration_ms=1), 0, 0),  # a closed gate is no failure
        (event("cancelled", reason="by ann", duration_ms=10), 0, 0),
    ],
)
def test_how_an_attempt_may_end(ends: Event, failures: int, durations: int) -> None:
    metrics = Metrics()
    metrics.observe([event("running"), ends])
    assert active(metrics) == 0
    assert executions(metrics, "success") == 0
    assert executions(metrics, "failure") == failures
    assert sample(metrics, "scheduler_task_duration_seconds_count", task_name="data_sync") == durations


def test_reasons_of_people_make_no_new_series() -> None:
    metrics = Metrics()
    metrics.observe([event("cancelled", reason="asked by ann"), event("cancelled", "r2", reason="asked by bob")])
    assert sample(metrics, "scheduler_runs_total", state="cancelled", reason="other") == 2


def test_an_attempt_that_began_before_this_process_counts_but_was_never_active() -> None:
    metrics = Metrics()
    metrics.observe([event("succeeded", duration_ms=5)])
    assert executions(metrics, "success") == 1
    metrics.observe([event("running")])
    assert active(metrics) == 1


def test_a_resync_sets_what_runs_now() -> None:
    metrics = Metrics()
    metrics.observe([event("running"), event("running", "r2")])
    metrics.resync({"r2": "data_sync", "r3": "report"})
    assert active(metrics) == 1
    assert active(metrics, "report") == 1
    metrics.observe([event("succeeded", "r3", "report", duration_ms=1), event("cancelled", "r1")])
    assert (active(metrics), active(metrics, "report")) == (1, 0)


def test_a_label_of_monitor_task_takes_the_place_of_the_name() -> None:
    metrics = Metrics()
    metrics.observe([event("running"), event("running", "r2", "copy")])
    metrics.relabel({"data_sync": "sync", "copy": "sync"})
    assert (active(metrics), active(metrics, "sync")) == (0, 2)
    metrics.observe([event("succeeded", duration_ms=1), event("succeeded", "r2", "copy", duration_ms=1)])
    assert active(metrics, "sync") == 0
    assert executions(metrics, "success", "sync") == 2


def test_missed_and_skipped_instants_of_schedules() -> None:
    metrics = Metrics()
    metrics.observe(
        [
            event("missed", "nightly", reason="misfired", detail='{"count":359,"until":1785000000000}'),
            event("missed", "nightly", reason="misfired"),
            event("missed", "once", reason="passed", detail='{"count":1,"until":1785000000000}'),
            event("skipped", "nightly", reason="overlap", detail='{"instant":1785000000000}'),
            event("skipped", "nightly", reason="whatever", detail='{"instant":1785000000000}'),
            event("skipped", "r9", reason="overlap"),  # a Run, no schedule
        ]
    )
    assert sample(metrics, "scheduler_missed_total", schedule="nightly", reason="misfired") == 360
    assert sample(metrics, "scheduler_missed_total", schedule="nightly", reason="overlap") == 1
    assert sample(metrics, "scheduler_missed_total", schedule="nightly", reason="other") == 1
    assert sample(metrics, "scheduler_missed_total", schedule="once", reason="passed") == 1
    assert sample(metrics, "scheduler_runs_total", state="skipped", reason="overlap") == 1


def test_a_result_that_looks_like_a_skip_is_a_result() -> None:
    metrics = Metrics()
    metrics.observe([event("running"), event("succeeded", duration_ms=1, detail='{"instant": 5}')])
    assert executions(metrics, "success") == 1


def test_the_lag_of_a_fire_is_measured_once() -> None:
    metrics = Metrics()
    run = fire_id("nightly", SECOND)
    metrics.observe([event("pending", run, ms=SECOND + 40), event("running", run), event("pending", run, reason="lost")])
    metrics.observe([event("pending", "01j0aaaaaaaaaaaaaaaa"), event("pending", "mine@20269999T000000Z")])
    assert sample(metrics, "scheduler_schedule_lag_seconds_count") == 1
    assert sample(metrics, "scheduler_schedule_lag_seconds_sum") == pytest.approx(0.04)


@given(st.integers(0, 2**42))
def test_a_fires_id_tells_its_instant(instant_ms: int) -> None:
    assert fire_instant(fire_id("a@b", instant_ms)) == instant_ms


def test_events_that_are_no_state_are_passed_over() -> None:
    metrics = Metrics()
    metrics.observe([event("running"), event("progress", detail="40"), event("retired"), event("paused", "data_sync")])
    assert active(metrics) == 1
    assert sample(metrics, "scheduler_runs_total", state="progress", reason="") is None


STATES = ["pending", "delayed", "running", "succeeded", "failed", "cancelled", "dead", "skipped"]


@given(st.lists(st.tuples(st.sampled_from(STATES), st.sampled_from("abcd"), st.sampled_from(["t1", "t2"])), max_size=60), st.integers(1, 7))
def test_active_is_what_last_began_and_never_negative(story: list[tuple[str, str, str]], batch: int) -> None:
    metrics, running = Metrics(), {}
    for first in range(0, len(story), batch):
        part = story[first : first + batch]
        metrics.observe([event(kind, run, task, duration_ms=1) for kind, run, task in part])
        for kind, run, task in part:
            running.pop(run, None)
            if kind == "running":
                running[run] = task
        for task in ("t1", "t2"):
            assert (active(metrics, task) or 0) == list(running.values()).count(task)


def test_a_snapshot_sets_the_gauges_and_forgets_queues_that_are_gone() -> None:
    metrics = Metrics()
    first = Snapshot(
        version="1.2.0",
        timezone="Asia/Shanghai",
        jobs_count=4,
        queues={"default": (7, 1.5), "gpu": (1, 60)},
        workers=2,
        leader=True,
        takeover_s=0.8,
    )
    metrics.update(first)
    assert sample(metrics, "scheduler_queue_depth", queue="default") == 7
    assert sample(metrics, "scheduler_queue_oldest_wait_seconds", queue="gpu") == 60
    assert sample(metrics, "scheduler_workers") == 2
    assert sample(metrics, "scheduler_leader") == 1
    assert sample(metrics, "scheduler_takeover_seconds") == 0.8
    assert sample(metrics, "scheduler_info", version="1.2.0", timezone="Asia/Shanghai", jobs_count="4") == 1
    assert sample(metrics, "scheduler_state", scheduler_state="running") == 1
    metrics.update(Snapshot(version="1.2.0", timezone="UTC", state="paused", queues={"default": (0, 0)}))
    assert sample(metrics, "scheduler_queue_depth", queue="gpu") is None
    assert sample(metrics, "scheduler_queue_oldest_wait_seconds", queue="gpu") is None
    assert sample(metrics, "scheduler_leader") == 0
    assert sample(metrics, "scheduler_state", scheduler_state="paused") == 1
    assert sample(metrics, "scheduler_state", scheduler_state="running") == 0


def test_building_twice_on_one_registry_shares_the_metrics() -> None:
    registry = CollectorRegistry()
    first, second = Metrics(registry), Metrics(registry)
    for metrics in (first, second):
        metrics.observe([event("running"), event("succeeded", duration_ms=1)])
        metrics.update(Snapshot(version="1", timezone="UTC"))
    assert executions(first, "success") == 2
    assert Metrics().registry is not registry


def test_the_scraped_text_has_the_names_that_dashboards_know() -> None:
    metrics = Metrics()
    metrics.observe([event("running"), event("failed", reason="error", duration_ms=7000)])
    metrics.update(Snapshot(version="1", timezone="UTC", queues={"default": (0, 0)}))
    text = metrics.render().decode()
    for line in (
        'scheduler_task_executions_total{status="failure",task_name="data_sync"} 1.0',
        'scheduler_task_duration_seconds_bucket{le="10.0",task_name="data_sync"} 1.0',
        'scheduler_active_tasks{task_name="data_sync"} 0.0',
        'scheduler_info{jobs_count="0",timezone="UTC",version="1"} 1.0',
        'scheduler_state{scheduler_state="running"} 1.0',
        'scheduler_queue_depth{queue="default"} 0.0',
    ):
        assert line in text.splitlines()
