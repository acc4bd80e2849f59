"""Metrics over HTTP: the seed's names, and one look at the store for many scrapes."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import redis

from scheduler.center import SchedulerCenter
from scheduler.core.clock import monotonic
from scheduler.core.events import Event
from scheduler.service import OwnEvents
from scheduler.vitals import Vitals

SEED = {
    "scheduler_task_executions_total": "counter",
    "scheduler_task_duration_seconds": "histogram",
    "scheduler_active_tasks": "gauge",
    "scheduler_info": "gauge",
    "scheduler_state": "gauge",
}
OURS = {
    "scheduler_queue_depth": "gauge",
    "scheduler_queue_oldest_wait_seconds": "gauge",
    "scheduler_schedule_lag_seconds": "histogram",
    "scheduler_takeover_seconds": "gauge",
    "scheduler_leader": "gauge",
    "scheduler_store_up": "gauge",
    "scheduler_workers": "gauge",
}


@pytest.fixture(scope="module")
def text(instance: Any) -> str:
    """A scrape after one Run."""
    run = instance.center.submit("on_demand")
    assert instance.center.wait(run).state == "succeeded"
    answer = instance.awaits("/metrics", lambda answer: 'task_name="on_demand"' in answer.text and "queue_depth{" in answer.text)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.text


def samples(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^([a-z]\S*(?:\{.*\})?) (\S+)$", text, re.MULTILINE)}


def test_every_name_is_there_with_its_kind(text: str) -> None:
    kinds = dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE))
    assert {name: kinds.get(name) for name in SEED | OURS} == SEED | OURS


def test_the_values_are_those_of_this_instance(text: str) -> None:
    found = samples(text)
    assert found['scheduler_task_executions_total{status="success",task_name="on_demand"}'] == 1
    assert found['scheduler_task_duration_seconds_count{task_name="on_demand"}'] == 1
    assert found['scheduler_active_tasks{task_name="on_demand"}'] == 0
    assert found['scheduler_state{scheduler_state="running"}'] == 1
    assert found['scheduler_queue_depth{queue="default"}'] == 0
    assert (found["scheduler_leader"], found["scheduler_store_up"], found["scheduler_workers"]) == (1, 1, 1)
    assert 'scheduler_info{jobs_count="2",timezone="Asia/Shanghai"' in text


def test_the_state_is_paused_when_all_schedules_or_all_queues_are(launch: Callable[..., Any]) -> None:
    one = launch()
    center = one.center

    def awaits(state: str) -> None:
        one.awaits("/metrics", lambda answer: samples(answer.text)[f'scheduler_state{{scheduler_state="{state}"}}'] == 1)

    awaits("running")
    center.pause_job("hello")
    center.submit("on_demand")  # now there is a queue
    awaits("running")
    center.pause_job("report")
    awaits("paused")
    assert one.http.get("/readyz").json()["checks"]["centre"] == {"ok": True, "detail": "running"}
    center.resume_job("hello")
    awaits("running")
    center.queue.pause("queue", "default")
    awaits("paused")
    center.queue.order("gpu", "fifo")  # another queue, which is open
    awaits("running")
    assert Vitals(SchedulerCenter(center.settings)).state == "stopped"


def test_scraping_cannot_load_the_store(instance: Any) -> None:
    with redis.Redis(unix_socket_path=instance.store.socket, decode_responses=True) as client:
        before, began = client.info("commandstats")["cmdstat_ping"]["calls"], monotonic()
        for _ in range(30):
            instance.http.get("/metrics")
        looks = client.info("commandstats")["cmdstat_ping"]["calls"] - before
    assert looks <= monotonic() - began + 1


def test_each_event_is_counted_by_one_instance_only(instance: Any) -> None:
    told: list[str] = []

    class Recorder:
        def observe(self, events: Sequence[Event]) -> None:
            told.extend(event.subject for event in events)

    def event(subject: str, worker: str) -> Event:
        return Event("1-0/0", 1, "pending", subject, "hello", 1, worker, "", 0.0, "")

    mine = instance.center.instance
    events = [event("mine", f"{mine}.1"), event("nobody's", ""), event("another's", "other.1"), event("namesake's", f"{mine}0.1")]
    OwnEvents(instance.center, Recorder()).observe(events)
    assert told == ["mine", "nobody's"]
    told.clear()
    OwnEvents(SchedulerCenter(instance.center.settings), Recorder()).observe(events)  # it does not lead
    assert told == []
