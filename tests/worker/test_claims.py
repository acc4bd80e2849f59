"""What a worker holds: from the claim to the settlement, whatever lies in between, and no longer."""

import select
from typing import Any

import pytest

from scheduler.core.run import Settlement
from scheduler.core.states import State
from scheduler.core.task import Task
from scheduler.queue import WakeLine
from scheduler.worker.loop import Worker
from scheduler.worker.outbox import MOST_BYTES, Outbox
from scheduler.worker.slots import Limits

PLUGIN = r"""
import asyncio, ctypes, threading
from scheduler import current_run
from scheduler.core.errors import GateClosedError

GO, LATE = threading.Event(), threading.Event()
KEPT = []

def deaf_at_first():
    if current_run().attempt == 1:
        ctypes.CDLL(None).usleep(2_200_000)
        return "late"
    GO.wait(20)
    return "second"

def odd_gate(again):
    raise GateClosedError("busy \ud800", again)

def mumble():
    current_run().progress(5, "\ud800")
    current_run().write(b"heard")
    GO.wait(20)

async def leaves_a_task():
    async def later():
        while not GO.is_set():
            await asyncio.sleep(0.001)
        MINE.write(b"after the end")
        current_run().progress(99)
        LATE.set()
    global MINE
    MINE = current_run()
    KEPT.append(asyncio.create_task(later()))
"""
SLOW = "import claim_tasks\nclaim_tasks.GO.wait(20)\nasync def run(): return 'imported'"


@pytest.fixture
def plugin(lab: Any) -> Any:
    """The module of these tests' tasks."""
    (lab.folder / "claim_tasks.py").write_text(PLUGIN)
    (lab.folder / "slow_module.py").write_text(SLOW)
    added = [
        Task(name="deaf_at_first", target="claim_tasks:deaf_at_first", timeout_ms=1500, max_attempts=2),
        Task(name="odd_gate", target="claim_tasks:odd_gate"),
        Task(name="odd_gate_alone", target="claim_tasks:odd_gate", executor="processpool"),
        Task(name="mumble", target="claim_tasks:mumble"),
        Task(name="leaves_a_task", target="claim_tasks:leaves_a_task", executor="asyncio"),
        Task(name="slow_import", target="slow_module:run", executor="asyncio"),
    ]
    lab.tasks.update({task.name: task for task in added})
    lab.queue.define(added)
    import claim_tasks

    return claim_tasks


def test_an_attempt_that_was_given_up_takes_nothing_from_the_next(lab: Any, plugin: Any) -> None:
    built = lab.worker()
    run = lab.submit("deaf_at_first")
    lab.until(lambda: built.worker.slots.stuck == 1)
    lab.until(lambda: lab.queue.sweep(expected_ms=None, longest_lease_ms=60_000) and lab.queue.get(run).attempt == 2)
    lab.until(lambda: built.worker.slots.stuck == 0)
    assert built.worker.slots.held() == {run}
    plugin.GO.set()
    ended = lab.end(run)
    assert (ended.state, ended.result, ended.claims) == ("succeeded", "second", 2)


def test_a_claim_is_held_while_its_plugin_is_imported_and_others_go_on(lab: Any, plugin: Any) -> None:
    runs = [lab.submit("slow_import", priority=9), *(lab.submit(task) for task in ("ok", "co", "alone", "slow_import"))]
    built = lab.worker()
    assert [lab.end(run).state for run in runs[1:4]] == ["succeeded"] * 3
    assert {runs[0], runs[4]} <= built.worker.held()
    for _ in range(15):
        built.housekeeper.step()
    plugin.GO.set()
    ended = [lab.end(run) for run in runs]
    assert [(run.state, run.claims) for run in ended] == [("succeeded", 1)] * 5


@pytest.mark.parametrize("again", [100, None, -5, "soon"])
@pytest.mark.parametrize("task", ["odd_gate", "odd_gate_alone"])
def test_an_odd_gate_is_a_gate(lab: Any, plugin: Any, task: str, again: Any) -> None:
    lab.worker()
    run = lab.submit(task, params=f'{{"again": {"null" if again is None else again!r}}}'.replace("'", '"'))
    closed = lab.until(lambda: (found := lab.queue.get(run)).reason not in ("", "due") and found)
    assert (closed.state, closed.attempt) == ("pending", 0)
    assert lab.end(lab.submit("ok")).state == "succeeded"


def test_a_run_whose_params_are_no_json_costs_nobody_else(lab: Any) -> None:
    runs = [lab.submit(task) for task in ("ok", "ok", "co", "alone", "ok")]
    for run in (runs[1], runs[3]):
        lab.queue.client.hset(f"{lab.queue.prefix}r:{run}", "params", "{garbage")
    lab.worker()
    states = lab.until(lambda: (found := [lab.queue.client.hget(f"{lab.queue.prefix}r:{run}", "state") for run in runs]) and ended(found))
    assert states == ["succeeded", "failed", "succeeded", "failed", "succeeded"]


def ended(states: list[str]) -> list[str]:
    return states if not {"pending", "running"} & set(states) else []


def test_a_claim_that_comes_when_it_stops_already_goes_back(lab: Any) -> None:
    built = lab.worker()
    lab.end(lab.submit("ok"))
    turn = built.worker._queue.turn

    def stopping_meanwhile(*args: Any) -> Any:
        answer = turn(*args)
        if answer.claims:
            built.worker.drain()
        return answer

    built.worker._queue.turn = stopping_meanwhile
    runs = [lab.submit("hold"), lab.submit("co_forever")]
    assert built.worker.idle.wait(5)
    assert {lab.queue.get(run).state for run in runs} == {"pending"}


def test_much_is_told_in_several_turns_and_each_until_it_is_heard() -> None:
    outbox = Outbox()
    for n in range(5):
        outbox.put(Settlement(f"r{n}", 1, State.SUCCEEDED, result="x" * (MOST_BYTES // 2)))
    told = []
    while outbox:
        turn = outbox.turn()
        assert outbox.turn() is turn
        assert outbox.is_asking
        told.append((turn[0], [settlement.id for settlement in turn[1]]))
        outbox.over()
    assert told == [("1", ["r0", "r1"]), ("2", ["r2", "r3"]), ("3", ["r4"])]
    assert outbox.runs() == set()


def test_a_poke_during_an_outage_is_heard_once(lab: Any) -> None:
    built = lab.worker()
    wake = WakeLine(lab.queue.client, lab.queue.wake_key("w2"))
    worker = Worker("w2", lab.queue, wake, {}, Limits(), built.worker.slots._means)  # nobody conducts it
    worker._poke()
    worker._outage(ConnectionError("away"))
    assert select.select([worker._ear], [], [], 0)[0] == []
    for line in (worker._ear, worker._mouth, wake):
        line.close()


def test_text_that_is_none_mutes_nobody(lab: Any, plugin: Any) -> None:
    built = lab.worker()
    run = lab.submit("mumble")
    lab.until(lambda: built.housekeeper.step() or "heard" in lab.queue.read_log(run)[1])
    assert lab.queue.get(run).progress_message == "?"
    plugin.GO.set()
    assert lab.end(run).state == "succeeded"


def test_what_comes_after_the_end_of_a_run_opens_nothing(lab: Any, plugin: Any) -> None:
    built = lab.worker()
    run = lab.end(lab.submit("leaves_a_task"))
    plugin.GO.set()
    assert plugin.LATE.wait(5)
    built.housekeeper.step()
    assert built.housekeeper._outputs._open == {}
    assert (lab.queue.read_log(run.id), lab.queue.get(run.id).progress) == ((0, ""), 0)
