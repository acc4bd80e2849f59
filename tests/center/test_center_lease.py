"""A worker inside the user's program and its lease: lost, out of reach, and won back."""

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler.core.clock import monotonic
from scheduler.core.errors import StoreError

HOLD = {"hold": {"module": "simple:hold", "trigger": "none"}, "simple": {"trigger": "none"}}
AGAIN = """
import time
from scheduler import current_run, should_stop

def run():
    if current_run().token > 1:
        return "again"
    while not should_stop(): time.sleep(0.002)
    return "too late"
"""


@pytest.fixture
def own_server(server: Any) -> Iterator[Any]:
    """A server that this test may kill; on a short path, for unix sockets end at 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="sc") as folder:
        own = type(server)(Path(folder))
        own.start()
        own.freeze = lambda: own.process.send_signal(signal.SIGSTOP)
        own.thaw = lambda: own.process.send_signal(signal.SIGCONT)
        yield own
        own.kill()


def test_a_worker_that_lost_its_lease_is_replaced_and_its_runs_start_again(desk: Any, caplog: pytest.LogCaptureFixture) -> None:
    center = desk.started(HOLD, worker={"lease": 2})
    first = center.roles.worker.name
    run = center.submit("hold")
    desk.await_state(center, run, "running")
    center.queue.abandon(first)
    second = desk.until(lambda: center.roles.worker.name != first and center.roles.worker.name, seconds=4)
    desk.until(lambda: center.get_run(run).worker == second)
    assert f"worker {first} lost its lease; another takes its place" in caplog.text
    desk.module().GO.set()
    ended = center.wait(run)
    assert (ended.state, ended.claims, ended.losses, ended.attempt) == ("succeeded", 2, 1, 1)


def test_the_new_one_knows_what_the_old_one_had_learned(desk: Any) -> None:
    center = desk.started(worker={"lease": 2})
    center.add_job("simple:boom", "interval", hours=1, id="learned")
    first = center.roles.worker.name
    center.queue.abandon(first)
    desk.until(lambda: center.roles.worker.name != first, seconds=4)
    assert center.wait(center.submit("learned")).state == "failed"


def test_the_store_may_be_away_while_it_is_replaced(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    center = desk.started(worker={"lease": 2})
    worker = center.roles.worker
    first, enroll, refused = worker.name, worker._chores.enroll, []

    def away(*args: Any) -> Any:
        if len(refused) < 2:
            refused.append(args)
            raise ConnectionError("away")
        return enroll(*args)

    monkeypatch.setattr(worker._chores, "enroll", away)
    center.queue.abandon(first)
    assert center.wait(center.submit("simple", {"x": 1})).result == 1
    assert len(refused) == 2
    assert worker.name != first


@pytest.mark.parametrize(("gone", "back"), [("kill", "start"), ("freeze", "thaw")])
def test_without_contact_it_stops_what_runs_before_the_lease_ends(desk: Any, own_server: Any, gone: str, back: str) -> None:
    desk.plugin("again", AGAIN)
    desk.url = own_server.url
    center = desk.started({"again": {"trigger": "none"}}, worker={"lease": 3})
    run = center.submit("again")
    slots = center.roles.worker._built.worker.slots
    desk.until(lambda: run in slots.held())
    away_since = monotonic()
    getattr(own_server, gone)()
    desk.until(lambda: not slots.held())
    assert monotonic() - away_since < 3.1
    getattr(own_server, back)()
    ended = desk.until(lambda: (found := center.get_run(run)).ended and found)
    assert (ended.state, ended.result, ended.attempt) == ("succeeded", "again", 1)


DEAF = """
import threading
GO = threading.Event()

def thread(): GO.wait(20)
async def loop(): GO.wait(20)
"""


def test_runs_that_do_not_come_back_take_no_more_threads_than_there_are(desk: Any, caplog: pytest.LogCaptureFixture) -> None:
    desk.plugin("deaf", DEAF)
    deaf = {name: {"module": f"deaf:{name}", "trigger": "none", "timeout": 0.1} for name in ("thread", "loop")}
    center = desk.started({**deaf, "simple": {"trigger": "none"}}, scheduler={"executors": {"default_threads": 2}})
    slots = center.roles.worker._built.worker.slots
    assert {center.wait(center.submit(name)).reason for name in deaf} == {"timed_out"}
    assert (slots.stuck, slots.free().default) == (2, 0)
    desk.until(lambda: "2 Runs were given up and have not come back" in caplog.text)
    desk.module("deaf").GO.set()
    desk.until(lambda: slots.stuck == 0)
    assert center.wait(center.submit("simple", {"x": 1})).result == 1


def test_shutdown_without_a_store(desk: Any, own_server: Any) -> None:
    desk.url = own_server.url
    center = desk.started()
    center.wait(center.submit("simple"))
    own_server.kill()
    center.shutdown()
    assert not center.is_running


def test_start_without_a_store_after_shutdown(desk: Any, own_server: Any) -> None:
    desk.url = own_server.url
    center = desk.started()
    center.shutdown()
    own_server.kill()
    with pytest.raises(StoreError):
        center.start()
    own_server.start()
    center.start()
    assert center.wait(center.submit("simple", {"x": 5})).result == 5
