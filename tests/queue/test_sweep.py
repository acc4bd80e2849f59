"""sweep: what is due, closed lanes, leases that ran out, clocks that step."""

from typing import Any

import pytest

from scheduler.core.run import Settlement
from scheduler.core.states import State


def test_what_is_due_takes_its_place(lab: Any) -> None:
    lab.submit("r1", delay_ms=1000)
    lab.submit("r2", delay_ms=2000)
    lab.enroll()
    lab.take(1)
    lab.pass_ms(999)
    assert lab.sweep() == (lab.now, 1, [], 0)
    before = lab.state()
    lab.events()
    lab.pass_ms(1)
    assert lab.sweep() == (lab.now, 1000, [], 1)
    place = lab.score(ms=lab.now)
    assert lab.changes(before) == {
        "r:r1": {**before["r:r1"], "state": "pending"},
        "delayed": {"r2": lab.NOW + 2000},
        "lane:default/a": {"r1": place},
        "q:default": {"default/a": place},
        "idle": None,
        "wake:w": ["work"],
    }
    assert lab.events() == [("pending", "r1", "0", "", "due")]


def test_a_retry_comes_back_at_its_old_place(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1")
    lab.take()
    lab.settle("r1", State.DELAYED, delay_ms=1000)
    lab.pass_ms(500)
    lab.submit("r2")
    lab.pass_ms(500)
    lab.sweep()
    assert lab.take(9) == ["r1", "r2"]


def test_a_sweep_is_bounded(lab: Any) -> None:
    lab.submit(*(f"r{number:03}" for number in range(250)), delay_ms=1)
    lab.pass_ms(1)
    assert [lab.sweep().moved, lab.sweep().moved, lab.sweep().moved] == [200, 50, 0]


def test_with_nothing_to_do_it_says_so(lab: Any) -> None:
    assert lab.sweep() == (lab.NOW, -1, [], 0)
    assert lab.state() == {}


def test_what_is_in_the_wrong_index_is_put_right(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1")
    lab.client.zadd(lab.key("delayed"), {"r1": 1, "ghost": 2})
    lab.take()
    assert lab.sweep().moved == 2
    assert (lab.record("r1")["state"], "delayed" in lab.state()) == ("running", False)


def gated(lab: Any, gate_ms: int) -> None:
    """A Run of a lane that a closed gate keeps closed for so long."""
    lab.enroll()
    lab.submit("r1")
    lab.take()
    lab.turn(0, Settlement("r1", 1, State.PENDING, "gpu busy", burn=False, close_lane_ms=gate_ms))


def test_a_gate_keeps_its_lane_closed_for_its_time(lab: Any) -> None:
    gated(lab, 2000)
    assert lab.state()["why"] == {"default/a": f"gpu_busy {lab.NOW + 2000}"}
    lab.submit("r2")
    lab.pass_ms(1999)
    lab.sweep()
    assert lab.take(5) == []
    lab.pass_ms(1)
    lab.sweep()
    assert (lab.take(5), "why" in lab.state()) == (["r1", "r2"], False)


def test_a_gate_of_an_hour_stays_closed_for_an_hour(lab: Any) -> None:
    gated(lab, 3_600_000)
    for _ in range(59):
        lab.pass_ms(60_000)
        lab.sweep()
        assert lab.take(5) == []
    lab.pass_ms(60_000)
    lab.sweep()
    assert lab.take(5) == ["r1"]


def test_a_lane_closed_for_a_cause_is_given_a_chance_each_minute(lab: Any) -> None:
    lab.define("a", limit=1)
    lab.enroll()
    lab.submit("r1", "r2")
    assert (lab.take(5), lab.take(5)) == (["r1"], [])
    lab.client.delete(lab.key("busy:a"), lab.key("shut:busy/a"))  # the signal that should have opened it is lost
    lab.pass_ms(59_999)
    lab.sweep()
    assert lab.take(5) == []
    lab.pass_ms(1)
    lab.sweep()
    assert lab.take(5) == ["r2"]


@pytest.mark.parametrize("number", [1, 300])
def test_a_delay_that_began_before_the_clock_stepped_back_lasts_no_longer(lab: Any, number: int) -> None:
    lab.enroll()
    lab.submit("retried")
    lab.take()
    lab.pass_ms(10**10)
    lab.settle("retried", State.DELAYED, delay_ms=60_000)
    lab.submit(*(f"r{n}" for n in range(number)), delay_ms=60_000)
    lab.submit("at", due_ms=lab.now + 60_000)
    lab.pass_ms(-(10**10))
    due = lab.state()["delayed"]["at"]
    for _ in range(50):  # each looks at two hundred of them
        lab.sweep()
    assert lab.state()["delayed"] == {"retried": lab.now + 60_000, "at": due} | {f"r{n}": lab.now + 60_000 for n in range(number)}
    assert lab.record("retried")["due"] == str(lab.now + 60_000)


def test_a_delay_that_is_only_a_little_long_is_left_alone(lab: Any) -> None:
    lab.submit("r1", delay_ms=60_000)
    lab.pass_ms(-1000)
    before = lab.state()
    lab.sweep()
    assert lab.changes(before) == {}


def test_a_lane_that_was_closed_before_the_clock_stepped_back_opens(lab: Any) -> None:
    gated(lab, 2000)
    lab.pass_ms(-3_600_000)
    lab.sweep()
    assert lab.take(5) == ["r1"]


# ── Leases ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_worker_whose_lease_ran_out_is_fenced(lab: Any) -> None:
    lab.enroll("w1")
    lab.enroll("w2")
    lab.take(1, "w1")
    lab.pass_ms(lab.LEASE_MS - 1)
    lab.queue.beat(["w2"], lab.LEASE_MS)
    assert lab.sweep(expected_ms=lab.now).fenced == []
    lab.pass_ms(1)
    before = lab.state()
    assert lab.sweep(expected_ms=lab.now).fenced == ["w1"]
    assert lab.changes(before) == {"leases": {"w2": lab.now - 1 + lab.LEASE_MS}, "idle": None, "fenced": {"w1": lab.now}}
    assert lab.sweep(expected_ms=None).fenced == ["w1"]


@pytest.mark.parametrize("difference", [None, -1001, 1001])
def test_nobody_is_fenced_by_a_clock_that_is_not_trusted(lab: Any, difference: Any) -> None:
    lab.enroll()
    lab.pass_ms(10 * lab.LEASE_MS)
    expected = None if difference is None else lab.now + difference
    assert lab.sweep(expected_ms=expected).fenced == []
    assert lab.sweep(expected_ms=lab.now + 1000).fenced == ["w"]


def test_no_lease_outlives_a_lease_after_the_clock_stepped_back(lab: Any) -> None:
    lab.enroll("w1")
    lab.enroll("w2")
    lab.pass_ms(-60_000)
    lab.queue.beat(["w2"], lab.LEASE_MS)
    lab.sweep(expected_ms=None)
    assert lab.state()["leases"] == {"w1": lab.now + lab.LEASE_MS, "w2": lab.now + lab.LEASE_MS}


def test_a_lease_that_is_only_a_little_long_is_left_alone(lab: Any) -> None:
    lab.enroll()
    lab.pass_ms(-1000)
    before = lab.state()
    lab.sweep()
    assert lab.changes(before) == {}


def test_a_wake_up_that_went_to_a_dead_worker_is_repeated_to_another(lab: Any) -> None:
    for worker in ("w1", "w2"):
        lab.enroll(worker)
        lab.take(1, worker)
        lab.pass_ms(1)
    lab.submit("r1")
    assert (lab.state()["wake:w1"], "wake:w2" in lab.state()) == (["work"], False)
    lab.sweep()
    assert lab.state()["wake:w2"] == ["work"]


def test_nobody_is_woken_for_a_paused_queue(lab: Any) -> None:
    lab.queue.pause("queue", "default")
    lab.submit("r1")
    lab.enroll()
    lab.take(1)
    lab.sweep()
    assert "wake:w" not in lab.state()
