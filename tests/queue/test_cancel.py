"""cancel, cancels, retry, purge."""

from typing import Any

import pytest

from scheduler.core.run import Settlement
from scheduler.core.states import State


def test_a_pending_run_ends_now(lab: Any) -> None:
    lab.submit("r1", "r2")
    before = lab.state()
    lab.events()
    lab.pass_ms(5)
    assert lab.queue.cancel("r1", "by\thand\n") == "cancelled"
    assert lab.changes(before) == {
        "r:r1": {**before["r:r1"], "state": "cancelled", "reason": "by hand", "ended": str(lab.now)},
        "lane:default/a": {"r2": lab.score()},
        "done": {"r1": lab.now},
    }
    assert lab.events() == [("cancelled", "r1", "0", "", "by hand")]


def test_with_its_last_run_a_lane_leaves_its_queue(lab: Any) -> None:
    lab.submit("r1")
    lab.queue.cancel("r1")
    assert set(lab.state()) == {"queues", "r:r1", "done"}


def test_the_next_run_of_the_lane_is_its_head_then(lab: Any) -> None:
    lab.submit("r1")
    lab.pass_ms(5)
    lab.submit("r2")
    lab.queue.cancel("r1")
    assert lab.state()["q:default"] == {"default/a": lab.score(ms=lab.now)}


def test_a_closed_lane_stays_closed_until_it_is_empty(lab: Any) -> None:
    lab.define("a", limit=1)
    lab.enroll()
    lab.submit("r1", "r2", "r3")
    assert (lab.take(5), lab.take(5)) == (["r1"], [])
    lab.queue.cancel("r2")
    assert set(lab.state()["closed"]) == {"default/a"}
    lab.queue.cancel("r3")
    assert [key for key in lab.state() if key.startswith(("closed", "why", "shut", "q:", "lane"))] == []


def test_a_delayed_run_ends_now(lab: Any) -> None:
    lab.submit("r1", delay_ms=500)
    assert lab.queue.cancel("r1") == "cancelled"
    assert set(lab.state()) == {"queues", "r:r1", "done"}


def test_a_running_run_is_told_through_its_worker(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1")
    lab.take()
    before = lab.state()
    assert lab.queue.cancel("r1", "enough") == "cancelling"
    told = {"r:r1": {**before["r:r1"], "cancel": "enough"}, "cancels:w": {"r1"}, "wake:w": ["cancel"]}
    assert lab.changes(before) == told
    assert lab.queue.cancel("r1", "enough") == "cancelling"
    assert lab.changes(before) == told
    assert lab.queue.cancels("w") == ({"r1": "enough"}, ["r1"])
    assert lab.queue.cancels("nobody") == ({}, [])


def test_too_late(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1", "r2")
    lab.take()
    lab.settle("r1")
    lab.queue.cancel("r2")
    before = lab.state()
    assert [lab.queue.cancel(run) for run in ("r1", "r2", "ghost")] == ["ended", "cancelled", "gone"]
    assert lab.changes(before) == {}


def test_a_cancel_without_a_reason_has_one(lab: Any) -> None:
    lab.submit("r1")
    lab.queue.cancel("r1", " \n")
    assert lab.record("r1")["reason"] == "cancelled"


# ── Retry ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("end", [State.FAILED, State.DEAD, State.CANCELLED])
def test_what_failed_starts_over_with_a_fresh_budget(lab: Any, end: Any) -> None:
    lab.enroll()
    lab.submit("r1", priority=7)
    for token in (1, 2):
        lab.take()
        lab.settle("r1", State.PENDING, token, reason="error", strike="crash", error='{"type":"E"}')
    lab.take()
    lab.queue.report("r1", 3, 50, "half")
    lab.settle("r1", end, 3, reason="error", strike="loss", error='{"type":"E"}')
    lab.pass_ms(100)
    lab.events()
    assert lab.queue.retry("r1") == "ok"
    place = lab.score(7, lab.now)
    assert lab.record("r1") == {
        "task": "a",
        "state": "pending",
        "reason": "retry",
        "score": str(place),
        "created": str(lab.NOW),
        "prio": "7",
        "worker": "w",
        "started": str(lab.NOW),
        "token": "3",
        "spared": "3",
    }
    state = lab.state()
    assert (state["lane:default/a"], "done" in state, "dead" in state) == ({"r1": place}, False, False)
    assert lab.events() == [("pending", "r1", "3", "", "retry")]
    [claim] = lab.claim()
    assert (claim.token, claim.attempt, claim.losses, claim.crashes) == (4, 1, 0, 0)


def test_what_did_not_fail_is_left_alone(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1", "r2", "r4")
    lab.submit("r3", delay_ms=5)
    lab.take(2)
    lab.settle("r1")
    before = lab.state()
    assert [lab.queue.retry(run) for run in ("r1", "r2", "r3", "r4", "ghost")] == ["succeeded", "active", "active", "active", "gone"]
    assert lab.changes(before) == {}


def test_a_retry_whose_reply_was_lost_is_answered_again(lab: Any) -> None:
    lab.submit("r1", queue="q", key="k")
    lab.queue.cancel("r1")
    assert lab.queue.retry("r1") == "ok"
    before = lab.state()
    assert (lab.queue.retry("r1"), lab.changes(before)) == ("ok", {})
    assert set(before["lane:q/a#k"]) == {"r1"}


# ── Purge ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_purge_cancels_what_waits_in_a_queue(lab: Any) -> None:
    lab.enroll(tasks="a")
    lab.define("a", limit=1)
    for number in range(450):
        lab.submit(f"r{number:03}")
    lab.submit("b1", task="b")
    lab.submit("k1", key="k")
    lab.submit("other", queue="other")
    lab.submit("later", delay_ms=5)
    assert lab.take(2) == ["r000", "k1"]
    lab.take(2)
    assert set(lab.state()["closed"]) == {"default/a", "default/b", "other/a"}
    assert lab.queue.purge("queue", "default") == 450
    state = lab.state()
    assert len(state["done"]) == 450
    assert set(state["closed"]) == {"other/a"}
    assert {lab.record(run)["state"] for run in ("r001", "r449", "b1")} == {"cancelled"}
    assert [lab.record(run)["state"] for run in ("r000", "other", "later")] == ["running", "pending", "delayed"]
    assert lab.queue.purge("queue", "default") == 0


def test_dead_letters_are_deleted_one_or_all(lab: Any) -> None:
    lab.enroll()
    ids = [f"r{number:03}" for number in range(250)]
    lab.submit(*ids)
    claims = lab.claim(250)
    lab.turn(0, *(Settlement(claim.id, 1, State.DEAD) for claim in claims))
    lab.queue.save_log("r007", "text", 4)
    assert lab.queue.purge("dead", "r007") == 1
    assert lab.queue.purge("dead", "r007") == 0
    assert not {"r:r007", "log:r007"} & set(lab.state())
    assert lab.queue.purge("dead") == 249
    assert [key for key in lab.state() if key.startswith(("r:", "dead"))] == []


def test_only_the_dead_are_dead_letters(lab: Any) -> None:
    lab.submit("r1")
    before = lab.state()
    assert (lab.queue.purge("dead", "r1"), lab.changes(before)) == (0, {})
