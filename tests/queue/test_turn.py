"""turn: settle and claim in one step; tokens, nonces, slots, gates."""

from typing import Any

import pytest

from scheduler.core.ports import Free
from scheduler.core.run import Claim, Settlement
from scheduler.core.states import State


def running(lab: Any, run: str = "r1", token: int = 1, worker: str = "w", **more: str) -> dict[str, str]:
    """The record of a Run of task a that was submitted and claimed at the start."""
    facts = {"task": "a", "state": "running", "score": str(lab.score()), "created": str(lab.NOW)}
    return {**facts, "worker": worker, "started": str(lab.now), "token": str(token), **more}


def test_a_claim_gives_the_run_to_the_worker(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1", "r2", params='{"x":1}')
    lab.events()
    before = lab.state()
    turn = lab.turn(1, nonce="n1")
    assert (turn.fenced, turn.answers) == (False, [])
    assert turn.claims == [Claim("r1", 1, 1, "a", '{"x":1}', 0, 0, None)]
    assert lab.changes(before) == {
        "lane:default/a": {"r2": lab.score()},
        "r:r1": running(lab, params='{"x":1}'),
        "own:w": {"r1"},
        "w:w": {**before["w:w"], "nonce": "n1", "answers": "", "claimed": "r1"},
    }
    assert lab.events() == [("running", "r1", "1", "w", "")]


def test_a_settlement_ends_the_run(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1")
    lab.take()
    lab.events()
    before = lab.state()
    lab.pass_ms(40)
    settled = Settlement("r1", 1, State.SUCCEEDED, result='{"y":2}', duration_ms=3.25)
    assert lab.turn(0, settled, nonce="n2").answers == ["ok"]
    ended = {"state": "succeeded", "ended": str(lab.now), "result": '{"y":2}'}
    assert lab.changes(before) == {
        "r:r1": {**before["r:r1"], **ended},
        "own:w": None,
        "done": {"r1": lab.now},
        "w:w": {**before["w:w"], "nonce": "n2", "answers": "ok", "claimed": ""},
    }
    [event] = lab.reader.read()
    assert (event.type, event.token, event.worker, event.duration_ms, event.detail) == ("succeeded", 1, "w", 3.25, '{"y":2}')


@pytest.mark.parametrize(
    ("state", "index"), [(State.FAILED, "done"), (State.CANCELLED, "done"), (State.SKIPPED, "done"), (State.DEAD, "dead")]
)
def test_other_ends(lab: Any, state: Any, index: Any) -> None:
    lab.enroll()
    lab.submit("r1")
    lab.take()
    assert lab.settle("r1", state, reason="error", error='{"type":"E"}') == "ok"
    record = lab.record("r1")
    assert (record["state"], record["reason"], record["error"]) == (state, "error", '{"type":"E"}')
    assert lab.state()[index] == {"r1": lab.now}
    assert lab.events()[-1] == (state, "r1", "1", "w", "error")


def test_settling_and_claiming_are_one_step(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1", "r2")
    lab.take()
    turn = lab.turn(1, Settlement("r1", 1, State.SUCCEEDED))
    assert (turn.answers, [claim.id for claim in turn.claims]) == (["ok"], ["r2"])
    assert lab.state()["own:w"] == {"r2"}


def test_a_run_that_goes_back_may_be_claimed_in_the_same_step(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1")
    lab.take()
    turn = lab.turn(1, Settlement("r1", 1, State.PENDING, "gate", burn=False))
    assert turn.claims == [Claim("r1", 2, 1, "a", "", 0, 0, None)]
    assert lab.state()["own:w"] == {"r1"}
    assert "lane:default/a" not in lab.state()


def test_a_retry_waits_for_its_time(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1")
    lab.take()
    before = lab.state()
    assert lab.settle("r1", State.DELAYED, reason="error", delay_ms=500, error='{"type":"E"}') == "ok"
    changed = lab.changes(before)
    del changed["w:w"]
    again = {"state": "delayed", "reason": "error", "due": str(lab.NOW + 500), "delay": "500", "error": '{"type":"E"}'}
    assert changed == {"r:r1": {**before["r:r1"], **again}, "own:w": None, "delayed": {"r1": lab.NOW + 500}}


def test_a_hand_back_keeps_the_place_and_costs_no_attempt(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1")
    lab.pass_ms(5)
    lab.submit("r2")
    lab.take()
    before = lab.state()
    assert lab.settle("r1", State.PENDING, reason="shutdown", burn=False) == "ok"
    changed = lab.changes(before)
    del changed["w:w"]
    assert changed == {
        "r:r1": {**before["r:r1"], "state": "pending", "reason": "shutdown", "spared": "1"},
        "own:w": None,
        "lane:default/a": {"r1": lab.score(), "r2": lab.score(ms=lab.now)},
        "q:default": {"default/a": lab.score()},
    }
    assert [(claim.id, claim.token, claim.attempt) for claim in lab.claim(2)] == [("r1", 2, 1), ("r2", 1, 1)]


def test_strikes_add_up_and_reach_the_next_claim(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1")
    for token, strike in enumerate(("loss", "crash", "loss"), 1):
        lab.take()
        lab.settle("r1", State.PENDING, token, strike=strike, burn=strike != "loss")
    [claim] = lab.claim()
    assert claim == Claim("r1", 4, 2, "a", "", 2, 1, None)
    assert lab.queue.get("r1").losses == 2
    assert lab.queue.get("r1").crashes == 1


def test_success_clears_the_error_of_an_earlier_attempt(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1")
    lab.take()
    lab.settle("r1", State.PENDING, error='{"type":"E"}')
    lab.take()
    lab.settle("r1", token=2)
    assert (lab.queue.get("r1").error, lab.queue.get("r1").reason) == (None, "")


# ── Tokens and nonces ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_only_the_newest_token_counts(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1")
    lab.take()
    lab.settle("r1", State.PENDING)
    lab.take()
    before = lab.state()
    lab.events()
    assert lab.settle("r1", token=1) == "fenced"
    assert lab.settle("ghost") == "gone"
    changed = lab.changes(before)
    del changed["w:w"]
    assert (changed, lab.events()) == ({}, [])
    assert [lab.settle("r1", token=2), lab.settle("r1", token=2)] == ["ok", "done"]


def test_the_same_nonce_gets_the_same_answer(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1", "r2", "r3")
    lab.take(2)
    settlements = [Settlement("r1", 1, State.SUCCEEDED), Settlement("ghost", 1, State.FAILED), Settlement("r2", 1, State.DELAYED)]
    first = lab.turn(5, *settlements, nonce="n")
    before = lab.state()
    lab.events()
    assert lab.turn(5, *settlements, nonce="n") == first
    assert (first.answers, [claim.id for claim in first.claims]) == (["ok", "gone", "ok"], ["r3"])
    assert (lab.changes(before), lab.events()) == ({}, [])


def test_a_repeated_claim_leaves_out_what_was_taken_away_since(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1", "r2")
    lab.turn(2, nonce="n")
    lab.queue.settle([Settlement("r1", 1, State.FAILED)])
    assert [claim.id for claim in lab.turn(2, nonce="n").claims] == ["r2"]


def test_a_fenced_worker_neither_settles_nor_claims(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1", "r2")
    lab.take()
    lab.queue.abandon("w")
    before = lab.state()
    turn = lab.turn(5, Settlement("r1", 1, State.SUCCEEDED))
    assert turn == (True, [], [])
    assert lab.changes(before) == {}
    assert lab.turn(1, worker="never enrolled").fenced


def test_the_rescuer_settles_for_a_worker_that_is_gone(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1")
    lab.take()
    lab.queue.abandon("w")
    assert lab.queue.settle([Settlement("r1", 1, State.PENDING, "lost", strike="loss", burn=False)]) == ["ok"]
    assert lab.queue.settle([Settlement("r1", 1, State.PENDING, "lost", strike="loss", burn=False)]) == ["done"]
    assert lab.record("r1")["losses"] == "1"
    assert "own:w" not in lab.state()
    assert lab.events()[-1] == ("pending", "r1", "1", "w", "lost")


def test_a_cancelled_run_is_not_tried_again(lab: Any) -> None:
    lab.enroll()
    for run, state in (("r1", State.DELAYED), ("r2", State.PENDING), ("r3", State.FAILED), ("r4", State.SUCCEEDED)):
        lab.submit(run)
        lab.take()
        lab.queue.cancel(run, "by hand")
        assert lab.state()["cancels:w"] == {run}
        lab.settle(run, state, reason="error")
    ends = [(lab.record(run)["state"], lab.record(run).get("reason", "")) for run in ("r1", "r2", "r3", "r4")]
    assert ends == [("cancelled", "by hand"), ("cancelled", "by hand"), ("failed", "error"), ("succeeded", "error")]
    assert "cancels:w" not in lab.state()


# ── Order ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_urgent_run_after_ten_thousand_is_next(lab: Any) -> None:
    for start in range(0, 10_000, 1000):
        lab.submit(*(f"{number:05}" for number in range(start, start + 1000)), priority=1)
    lab.submit("urgent", task="b", queue="other", priority=9)
    lab.enroll(tasks="a b")
    assert lab.take(2) == ["urgent", "00000"]


def test_age_holds_across_lanes_and_queues(lab: Any) -> None:
    for number, (task, queue) in enumerate([("a", "q1"), ("b", "q1"), ("a", "q2"), ("b", "q2"), ("a", "q1")]):
        lab.submit(f"r{number}", task=task, queue=queue)
        lab.pass_ms(1)
    lab.enroll(tasks="a b")
    assert lab.take(9) == ["r0", "r1", "r2", "r3", "r4"]
    assert [key for key in lab.state() if key.startswith(("q:", "lane:"))] == []


def test_a_worker_claims_from_its_queues_only(lab: Any) -> None:
    lab.submit("r1", queue="q1")
    lab.submit("r2", queue="q2")
    lab.enroll(queues="q2 q3")
    assert lab.take(9) == ["r2"]


def test_a_lane_whose_kind_of_slot_is_taken_is_passed_over(lab: Any) -> None:
    lab.enroll(tasks="a p")
    lab.define("p", executor="processpool")
    lab.submit("p1", "p2", "p3", task="p", priority=9)
    lab.submit("a1", "a2")
    assert lab.take(Free(1, 2, 5)) == ["p1", "p2", "a1"]
    assert set(lab.state()["q:default"]) == {"default/a", "default/p"}
    assert lab.take(Free(asyncio=1)) == []
    assert lab.take(Free(default=1)) == ["a2"]
    assert lab.take(Free(processpool=1)) == ["p3"]


def test_hundreds_of_lanes_in_the_way_are_passed_over(lab: Any) -> None:
    lab.enroll(tasks="a p")
    lab.define("p", executor="processpool")
    for number in range(300):
        lab.submit(f"p{number}", task="p", key=str(number), priority=9)
    lab.submit("r1")
    assert lab.take(Free(default=1)) == ["r1"]


def test_a_task_that_somebody_else_knows_is_left_to_him(lab: Any) -> None:
    lab.enroll("w1", "a")
    lab.enroll("w2", "b")
    lab.submit("b1", task="b")
    lab.submit("a1")
    assert lab.take(5, "w1") == ["a1"]
    assert lab.take(5, "w2") == ["b1"]


def test_a_task_that_nobody_knows_closes_its_lane_until_somebody_does(lab: Any) -> None:
    lab.enroll("w1", "a")
    lab.submit("b1", task="b")
    lab.submit("a1")
    assert lab.take(5, "w1") == ["a1"]
    state = lab.state()
    assert state["why"] == {"default/b": f"no_worker {lab.NOW + 60_000} unknown/b"}
    assert state["closed"] == {"default/b": lab.NOW + 60_000}
    assert state["shut:unknown/b"] == {"default/b"}
    lab.enroll("w2", "b")
    assert [key for key in lab.state() if key in ("why", "closed", "shut:unknown/b")] == []
    assert lab.take(5, "w2") == ["b1"]


def test_many_lanes_of_an_unknown_task_do_not_make_a_claim_long(lab: Any) -> None:
    lab.enroll()
    for number in range(450):
        lab.submit(f"b{number:03}", task="b", key=str(number))
    lab.pass_ms(1)
    lab.submit("a1")
    assert [lab.take(5), lab.take(5), lab.take(5)] == [[], [], ["a1"]]
    state = lab.state()
    assert len(state["closed"]) == 450
    assert state["wake:w"] == ["work", "work"]  # a claim that stopped half-way comes back at once
    assert "idle" not in state


def test_whoever_finds_nothing_is_entered_among_the_idle(lab: Any) -> None:
    lab.enroll()
    lab.take(1)
    assert lab.state()["idle"] == {"w": lab.NOW}
    lab.submit("r1")
    assert (lab.take(1), "idle" in lab.state()) == (["r1"], False)
    lab.turn(0)
    assert "idle" not in lab.state()


def test_finished_runs_beyond_the_number_to_keep_leave_with_the_turn(lab: Any) -> None:
    lab.queue.retain(keep=3, keep_ms=10**9, events=100)
    lab.enroll()
    for number in range(6):
        lab.submit(f"r{number}")
        lab.take()
        lab.queue.save_log(f"r{number}", "text", 4)
        lab.settle(f"r{number}")
        lab.pass_ms(1)
    state = lab.state()
    assert set(state["done"]) == {"r3", "r4", "r5"}
    assert {key for key in state if key.startswith(("r:", "log:"))} == {
        f"{kind}:r{number}" for kind in ("r", "log") for number in (3, 4, 5)
    }
