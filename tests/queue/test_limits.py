"""Concurrency limits and rate limits: what may start now, and when a closed lane opens again."""

from typing import Any

import pytest

from scheduler.core.run import Settlement
from scheduler.core.states import State


def test_never_more_runs_at_work_than_the_limit(lab: Any) -> None:
    lab.define("a", limit=2)
    lab.enroll()
    lab.submit("r1", "r2", "r3", "r4")
    assert lab.take(9) == ["r1", "r2"]
    state = lab.state()
    assert state["busy:a"] == {"r1", "r2"}
    assert state["why"] == {"default/a": f"concurrency {lab.NOW + 60_000} busy/a"}
    assert state["shut:busy/a"] == {"default/a"}
    assert "q:default" not in state
    assert lab.record("r1")["busy"] == "a"


@pytest.mark.parametrize("end", [State.SUCCEEDED, State.FAILED, State.DELAYED, State.DEAD])
def test_the_end_of_a_run_opens_the_lane_at_once(lab: Any, end: Any) -> None:
    lab.define("a", limit=1)
    lab.enroll()
    lab.submit("r1", "r2")
    assert (lab.take(9), lab.take(9)) == (["r1"], [])
    turn = lab.turn(9, Settlement("r1", 1, end))
    assert [claim.id for claim in turn.claims] == ["r2"]
    assert lab.state()["busy:a"] == {"r2"}
    assert "busy" not in lab.record("r1")


def test_the_limit_holds_over_all_queues_and_workers(lab: Any) -> None:
    lab.define("a", limit=1)
    for worker, queue in (("w1", "q1"), ("w2", "q2"), ("w3", "q3")):
        lab.enroll(worker, queues=queue)
        lab.submit(f"{queue}r", queue=queue)
    assert [lab.take(5, worker) for worker in ("w1", "w2", "w3")] == [["q1r"], [], []]
    lab.settle("q1r", worker="w1")
    assert set(lab.state()["q:q2"]) == {"q2/a"}
    assert [lab.take(5, worker) for worker in ("w3", "w2")] == [["q3r"], []]


def test_with_a_key_the_limit_counts_per_key_over_all_queues(lab: Any) -> None:
    lab.define("a", limit=1)
    lab.enroll()
    for run, key, queue in (("r1", "x", "q1"), ("r2", "x", "q1"), ("r3", "y", "q1"), ("r4", "x", "q2"), ("r5", "", "q1")):
        lab.submit(run, key=key, queue=queue)
        lab.pass_ms(1)
    assert lab.take(9) == ["r1", "r3", "r5"]
    state = lab.state()
    assert {name: state[name] for name in state if name.startswith("busy:")} == {"busy:a#x": {"r1"}, "busy:a#y": {"r3"}, "busy:a": {"r5"}}
    assert state["shut:busy/a#x"] == {"q1/a#x", "q2/a#x"}
    lab.settle("r1")
    assert lab.take(9) == ["r2"]


def test_a_higher_limit_opens_the_lane(lab: Any) -> None:
    lab.define("a", limit=1)
    lab.enroll()
    lab.submit("r1", "r2", "r3")
    assert (lab.take(9), lab.take(9)) == (["r1"], [])
    lab.define("a", limit=2)
    assert lab.take(9) == ["r2"]
    lab.define("a")
    assert lab.take(9) == ["r3"]


def test_a_limit_that_comes_later_counts_from_then_on(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1", "r2", "r3")
    lab.take()
    lab.define("a", limit=1)
    assert lab.take(9) == ["r2"]  # r1 was not counted when it started
    lab.settle("r1")
    assert lab.take(9) == []


def test_an_idle_worker_hears_of_the_free_place(lab: Any) -> None:
    lab.define("a", limit=1)
    lab.enroll("w1")
    lab.enroll("w2")
    lab.submit("r1", "r2")
    assert (lab.take(1, "w1"), lab.take(1, "w2")) == (["r1"], [])
    lab.settle("r1", worker="w1")
    assert lab.state()["wake:w2"] == ["work"]


# ── Rates ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def submit_many(lab: Any, count: int) -> None:
    lab.submit(*(f"r{number:03}" for number in range(count)))


def test_a_burst_then_one_at_a_time(lab: Any) -> None:
    lab.define("a", rates=((5, 60_000),))
    lab.enroll()
    submit_many(lab, 20)
    assert len(lab.take(50)) == 5
    state = lab.state()
    assert state["why"] == {"default/a": f"rate_limited {lab.NOW + 12_000} rate/a"}
    assert state["rate:a:5/60000"] == f"{lab.NOW + 60_000}.000"
    assert 0 < lab.client.pttl(lab.key("rate:a:5/60000")) <= 120_000
    for _ in range(3):
        lab.pass_ms(11_999)
        lab.sweep()
        assert lab.take(50) == []
        lab.pass_ms(1)
        lab.sweep()
        assert len(lab.take(50)) == 1


def test_the_fullest_window_has_twice_the_limit_less_one(lab: Any) -> None:
    lab.define("a", rates=((5, 60_000),))
    lab.enroll()
    submit_many(lab, 50)
    started = []  # in each second
    for _ in range(300):
        started.append(len(lab.take(50)))
        lab.pass_ms(1_000)
        lab.sweep()
    assert max(sum(started[first : first + 60]) for first in range(240)) == 2 * 5 - 1
    assert sum(started[60:120]) == 5  # and once the burst is used up, the limit


def test_what_is_not_used_is_saved_up_to_the_burst(lab: Any) -> None:
    lab.define("a", rates=((3, 60_000),))
    lab.enroll()
    submit_many(lab, 20)
    lab.take(50)
    lab.pass_ms(40_000)
    lab.sweep()
    assert len(lab.take(50)) == 2
    lab.pass_ms(600_000)
    lab.sweep()
    assert len(lab.take(50)) == 3


def test_a_claim_for_less_than_the_burst_leaves_the_rest(lab: Any) -> None:
    lab.define("a", rates=((5, 60_000),))
    lab.enroll()
    submit_many(lab, 20)
    assert [len(lab.take(2)) for _ in range(4)] == [2, 2, 1, 0]


def test_the_narrower_of_two_limits_decides(lab: Any) -> None:
    lab.define("a", rates=((2, 10_000), (5, 60_000)))
    lab.enroll()
    submit_many(lab, 20)
    admitted = []
    for _ in range(13):
        admitted.append(len(lab.take(50)))
        lab.pass_ms(5_000)
        lab.sweep()
    # 2 at once, then one each 5 s as the first limit says; after 30 s the second has been used up and gives one each 12 s
    assert admitted == [2, 1, 1, 1, 1, 1, 0, 0, 1, 0, 1, 0, 1]


def test_a_rate_that_does_not_divide_is_kept_exactly(lab: Any) -> None:
    lab.define("a", rates=((7, 60_000),))
    lab.enroll()
    submit_many(lab, 200)
    admitted = 0
    for _ in range(600):
        admitted += len(lab.take(3))
        lab.pass_ms(1_000)
        lab.sweep()
    assert admitted == 7 + 69  # the burst, and one for each 8571.43 ms of 599 s


def test_the_charge_is_for_runs_that_started(lab: Any) -> None:
    lab.define("a", rates=((2, 60_000),))
    lab.enroll()
    submit_many(lab, 3)
    lab.client.delete(lab.key("r:r000"))
    assert lab.take(5) == ["r001", "r002"]


def test_a_new_rate_opens_the_lane(lab: Any) -> None:
    lab.define("a", rates=((1, 3_600_000),))
    lab.enroll()
    submit_many(lab, 4)
    assert [len(lab.take(5)), len(lab.take(5))] == [1, 0]
    lab.define("a", rates=((2, 1_000),))
    assert len(lab.take(5)) == 2


def test_a_clock_that_steps_back_costs_one_window_at_most(lab: Any) -> None:
    lab.define("a", rates=((2, 60_000),))
    lab.enroll()
    submit_many(lab, 9)
    assert [len(lab.take(5)), len(lab.take(5))] == [2, 0]
    lab.pass_ms(-3_600_000)
    lab.sweep()
    assert lab.take(5) == []
    lab.pass_ms(30_000)
    lab.sweep()
    assert len(lab.take(5)) == 1
