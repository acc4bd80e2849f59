"""pause and resume, of a task and of a queue (schedules: tests/timing)."""

from typing import Any


def test_a_paused_task_closes_its_lanes_when_they_are_met(lab: Any) -> None:
    lab.enroll(tasks="a b")
    lab.submit("a1", "a2")
    lab.submit("a3", key="k")
    lab.submit("b1", task="b")
    before = lab.state()
    assert lab.queue.pause("task", "a") is True
    assert lab.changes(before) == {"task:a": {"paused": "1"}, "paused": {"task/a"}}
    assert lab.take(9) == ["b1"]
    state = lab.state()
    why = f"paused {lab.NOW + 60_000} task/a"
    assert state["why"] == {"default/a": why, "default/a#k": why}
    assert state["shut:task/a"] == {"default/a", "default/a#k"}
    assert lab.queue.paused("task") == {"a"}


def test_a_resumed_task_goes_on_at_once_where_it_was(lab: Any) -> None:
    lab.enroll(tasks="a b")
    lab.submit("a1", "a2")
    before = lab.state()
    lab.queue.pause("task", "a")
    lab.take(9)
    assert lab.queue.pause("task", "a", on=False) is True
    assert lab.changes(before) == {"wake:w": ["work"]}
    assert lab.take(9) == ["a1", "a2"]


def test_what_runs_goes_on_and_what_comes_back_waits(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1", "r2")
    lab.take()
    lab.queue.pause("task", "a")
    assert lab.take(5) == []
    assert lab.settle("r1") == "ok"
    lab.submit("r3")
    assert lab.take(5) == []


def test_a_task_is_paused_before_anything_is_known_of_it(lab: Any) -> None:
    lab.queue.pause("task", "a")
    lab.define("a", limit=3)
    lab.enroll()
    lab.submit("r1")
    assert lab.take(5) == []
    lab.queue.pause("task", "a", on=False)
    assert lab.take(5) == ["r1"]


def test_hundreds_of_lanes_open_with_one_resume(lab: Any) -> None:
    lab.enroll()
    for number in range(450):
        lab.submit(f"r{number:03}", key=str(number))
    lab.queue.pause("task", "a")
    for _ in range(4):
        lab.take(9)
    assert len(lab.state()["closed"]) == 450
    lab.queue.pause("task", "a", on=False)
    assert len(lab.take(500)) == 450


def test_a_paused_queue_is_passed_by(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1", queue="q1", priority=9)
    lab.submit("r2", queue="q2")
    assert lab.queue.pause("queue", "q1") is True
    assert lab.take(9) == ["r2"]
    assert (lab.take(9), lab.queue.paused("queue")) == ([], {"q1"})
    assert lab.queue.pause("queue", "q1", on=False) is True
    assert lab.state()["wake:w"] == ["work"]
    assert lab.take(9) == ["r1"]


def test_pausing_twice_says_so_and_tells_once(lab: Any) -> None:
    answers = [lab.queue.pause("task", "a"), lab.queue.pause("task", "a")]
    answers += [lab.queue.pause("task", "a", on=False), lab.queue.pause("task", "a", on=False)]
    assert answers == [True, False, True, False]
    assert lab.events() == [("paused", "a", "0", "", "task"), ("resumed", "a", "0", "", "task")]
    assert lab.state() == {}


def test_a_resumed_schedule_counts_from_that_moment(lab: Any) -> None:
    lab.queue.pause("schedule", "s")
    lab.pass_ms(5000)
    lab.queue.pause("schedule", "s", on=False)
    assert lab.state() == {"meta": {"generation": "2"}, "fired": {"s": f"0;0;{lab.now - 1}-{lab.now - 1}"}}


def test_since_when_it_was_paused_is_kept_until_somebody_tells_of_it(lab: Any) -> None:
    since = lab.now - 1000
    lab.client.hset(lab.key("fired"), "s", f"0;7;{since}-{since}")
    for _ in range(2):
        lab.queue.pause("schedule", "s")
        lab.pass_ms(5000)
        lab.queue.pause("schedule", "s", on=False)
    first, second = lab.now - 5001, lab.now - 1
    assert lab.state()["fired"] == {"s": f"0;7;{since}-{since},{first}-{first},{second}-{second};{since}"}
