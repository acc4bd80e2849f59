# ruff: noqa: N802 - the made-up driver has the names of NVML
"""Runs that need a card: gated, reserved across Runs, and shown their cards alone. The driver is made up, everything else is real."""

import sys
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import redis

from scheduler.core.errors import GateClosedError
from scheduler.core.ports import Card, Enrolment, Free
from scheduler.core.run import Settlement, Submission
from scheduler.core.states import State
from scheduler.core.task import GpuNeed, Task
from scheduler.gpu import Broker
from scheduler.queue import RunQueue

GIB = 2**30
PLUGIN = """
import os
from scheduler import current_run
from pathlib import Path

def run(wait_for=""):
    while wait_for and not Path(wait_for).exists(): os.sched_yield()
    return {"visible": os.environ["CUDA_VISIBLE_DEVICES"], "order": os.environ["CUDA_DEVICE_ORDER"], "mine": current_run().gpu}
"""


class Driver:
    """The part of pynvml that is read, over cards with so much free memory each (GiB of 80)."""

    NVMLError, NVMLError_NotFound = pynvml.NVMLError, pynvml.NVMLError_NotFound
    NVMLError_NotSupported, NVMLError_NoPermission = pynvml.NVMLError_NotSupported, pynvml.NVMLError_NoPermission
    NVML_DEVICE_MIG_ENABLE = pynvml.NVML_DEVICE_MIG_ENABLE

    def __init__(self) -> None:
        self.free_gb = {}
        self.asked = 0

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetCount(self) -> Any:
        self.asked += 1
        return len(self.free_gb)

    def nvmlDeviceGetHandleByIndex(self, index: Any) -> Any:
        return list(self.free_gb)[index]

    def nvmlDeviceGetMigMode(self, _: Any) -> None:
        raise pynvml.NVMLError_NotSupported

    def nvmlDeviceGetUUID(self, handle: Any) -> Any:
        return handle

    def nvmlDeviceGetName(self, _: Any) -> Any:
        return "made up"

    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any:
        return SimpleNamespace(total=80 * GIB, free=self.free_gb[handle] * GIB)

    def nvmlDeviceGetUtilizationRates(self, _: Any) -> Any:
        return SimpleNamespace(gpu=3)

    def nvmlDeviceGetComputeRunningProcesses(self, _: Any) -> Any:
        return []


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Any:
    driver = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    return driver


@pytest.fixture
def gpu_task(desk: Any) -> Any:
    desk.plugin("train", PLUGIN)
    return {"train": {"trigger": "none", "gpu": {"min_memory_gb": 30}}}


def test_a_run_sees_its_card_alone(desk: Any, driver: Any, gpu_task: Any) -> None:
    driver.free_gb = {"GPU-full": 10, "GPU-good": 70}
    center = desk.started(gpu_task)
    run = center.wait(center.submit("train"))
    assert run.result == {"visible": "GPU-good", "order": "PCI_BUS_ID", "mine": ["GPU-good"]}
    assert center.roles.worker._built.runner.children == 0  # a process of its own, gone with it


def test_it_waits_for_a_card_without_using_up_an_attempt(desk: Any, driver: Any, gpu_task: Any) -> None:
    driver.free_gb = {"GPU-full": 10}
    center = desk.started(gpu_task)
    run = center.submit("train")
    waiting = desk.await_state(center, run, "pending", "gpu_busy")
    assert waiting.attempt == 0
    assert [lane["reason"] for lane in center.stats()["closed"]] == ["gpu_busy"]
    driver.free_gb = {"GPU-full": 40}
    ended = center.wait(run)
    assert (ended.state, ended.attempt, ended.claims) == ("succeeded", 1, 2)


def test_without_a_card_it_waits_too(desk: Any, driver: Any, gpu_task: Any) -> None:
    center = desk.started(gpu_task)
    desk.await_state(center, center.submit("train"), "pending", "gpu_busy")


def test_reservations_bound_what_starts_together(desk: Any, driver: Any, gpu_task: Any) -> None:
    """The driver says all the while that 80 GiB are free: only the reservations know of the two that hold 30 each."""
    driver.free_gb = {"GPU-one": 80}
    center = desk.started(gpu_task)
    go = desk.folder / "go"
    runs = [center.submit("train", {"wait_for": str(go)}) for _ in range(3)]
    late = desk.until(lambda: [run for run in runs if center.get_run(run).reason == "gpu_busy"])
    assert len(late) == 1
    assert sum(center.get_run(run).state == "running" for run in runs) == 2
    go.touch()
    assert {center.wait(run).state for run in runs} == {"succeeded"}
    assert center.queue.client.keys(f"{center.queue.prefix}gpu:*") == []


def test_nobody_asks_the_driver_where_no_task_needs_a_card(desk: Any, driver: Any) -> None:
    center = desk.started()
    center.wait(center.submit("simple"))
    assert driver.asked == 0


# ── The broker over the real store ────────────────────────────────────────────────────────────────────────────────────


class Cards:
    def __init__(self, *cards: Any) -> None:
        self._cards = cards

    def cards(self) -> Any:
        return list(self._cards)


def card(uuid: Any, number: Any, free_mb: Any = 80_000, foreign: Any = ()) -> Any:
    return Card(uuid, number, "made up", 80_000, free_mb, 5.0, foreign)


@pytest.fixture
def queue(client: redis.Redis) -> Any:
    queue = RunQueue(client, "t")
    queue.define([Task(name="train", target="m:f", executor="processpool")])
    queue.submit([Submission(id=f"r{n}", task="train") for n in range(4)])
    queue.enroll(Enrolment("w", "h", 1, 9, ["*"], ["train"]), 60_000)
    queue.claims = queue.turn("w", "1", Free(processpool=4)).claims
    return queue


def test_all_or_nothing_and_the_emptiest_first(queue: Any) -> None:
    broker = Broker(Cards(card("A", 0), card("B", 1, free_mb=79_000)), queue)
    assert broker.reserve("r0", GpuNeed(min_memory_mb=50_000)) == ["A"]
    assert broker.reserve("r1", GpuNeed(min_memory_mb=50_000)) == ["B"]
    with pytest.raises(GateClosedError, match=r"other Runs have reserved the rest") as closed:
        broker.reserve("r2", GpuNeed(min_memory_mb=40_000))
    assert closed.value.reason == "gpu_busy"
    assert broker.reserve("r2", GpuNeed(min_memory_mb=20_000, count=2)) == ["A", "B"]


def test_asking_again_gives_the_same_and_giving_back_makes_room(queue: Any) -> None:
    broker = Broker(Cards(card("A", 0)), queue)
    need = GpuNeed(min_memory_mb=60_000)
    assert broker.reserve("r0", need) == broker.reserve("r0", need) == ["A"]
    with pytest.raises(GateClosedError):
        broker.reserve("r1", need)
    broker.release("r0")
    broker.release("r0")
    assert broker.reserve("r1", need) == ["A"]


def test_what_ends_or_is_rescued_gives_its_cards_back(queue: Any) -> None:
    broker = Broker(Cards(card("A", 0)), queue)
    need = GpuNeed(min_memory_mb=60_000)
    for claim, state in zip(queue.claims, (State.SUCCEEDED, State.PENDING, State.DEAD), strict=False):
        assert broker.reserve(claim.id, need) == ["A"]
        queue.settle([Settlement(claim.id, claim.token, state)])
    assert broker.reserve("r3", need) == ["A"]


def test_only_what_runs_may_hold_a_card(queue: Any) -> None:
    broker = Broker(Cards(card("A", 0)), queue)
    with pytest.raises(GateClosedError):
        broker.reserve("nobody", GpuNeed(min_memory_mb=1))


def test_memory_of_foreign_processes_cannot_be_reserved(queue: Any) -> None:
    broker = Broker(Cards(card("A", 0, foreign=((4711, 30_000),))), queue)
    assert broker.reserve("r0", GpuNeed(min_memory_mb=40_000)) == ["A"]
    with pytest.raises(GateClosedError, match=r"reserved the rest"):
        broker.reserve("r1", GpuNeed(min_memory_mb=40_000))
