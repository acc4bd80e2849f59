"""Two gates that the whole path must hold at any time: a thousand Runs at one time, and urgency however much waits."""

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import quantiles
from typing import Any

import pytest

from scheduler import SchedulerCenter
from scheduler.core.clock import monotonic
from scheduler.plugins import loader

PLUGIN = """
import asyncio
import time

there = 0
everybody = asyncio.Event()

async def meet(count):
    global there
    there += 1
    if there == count:
        everybody.set()
    await everybody.wait()

def brief():
    time.sleep(0.002)
"""
TASKS = """
tasks:
  meet: {module: "gates:meet", trigger: none}
  low: {module: "gates:brief", trigger: none, priority: 1}
  urgent: {module: "gates:brief", trigger: none, priority: 10}
"""
ENV = 'scheduler: {{tasks: tasks.yaml, executors: {{default_threads: 1, async_slots: 1000}}}}\nredis: {{url: "{url}"}}\n'


@pytest.fixture
def center(server: Any, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SchedulerCenter]:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "plugins").mkdir(mode=0o755)
    (tmp_path / "plugins" / "gates.py").write_text(PLUGIN)
    (tmp_path / "tasks.yaml").write_text(TASKS)
    (tmp_path / "env.yaml").write_text(ENV.format(url=server.url))
    with SchedulerCenter(tmp_path / "env.yaml") as center:
        yield center
    loader.forget()


def timed(call: Callable[[], str]) -> tuple[str, float]:
    """Its answer, and how long it took in ms."""
    began = monotonic()
    return call(), (monotonic() - began) * 1000


def test_a_thousand_runs_meet(center: SchedulerCenter) -> None:
    """Each waits for all others, so all are at work at one time; a submit is answered within 100 ms all the while."""
    center.start()
    answers = [timed(lambda: center.submit("meet", {"count": 1000})) for _ in range(1000)]
    assert {center.wait(run).state for run, _ in answers} == {"succeeded"}
    assert quantiles([ms for _, ms in answers], n=100)[-1] <= 100


def test_the_urgent_one_starts_next(center: SchedulerCenter) -> None:
    """A worker is busy with ten thousand; what is urgent waits for no more than what the worker has in its hands."""
    low = center.submit_many(["low"] * 10_000)
    center.start()
    center.wait(low[50])
    urgent = center.wait(center.submit("urgent"))
    between = [
        run
        for run in center.queue.find(state="succeeded", task="low", limit=2000)
        if urgent.created_ms < run.started_ms < urgent.started_ms
    ]
    assert len(between) <= 10
    assert urgent.started_ms - urgent.created_ms <= 100
