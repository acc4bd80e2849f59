"""submit: Runs enter, each at most once."""

from typing import Any

import pytest

from scheduler.core.run import Submission


def test_a_run_takes_its_place_in_the_lane_of_its_task(lab: Any) -> None:
    assert lab.submit("r1", params='{"x":1}') == ["ok"]
    place = lab.score()
    assert lab.state() == {
        "queues": {"default": "fifo"},
        "q:default": {"default/a": place},
        "lane:default/a": {"r1": place},
        "r:r1": {"task": "a", "state": "pending", "score": str(place), "created": str(lab.NOW), "params": '{"x":1}'},
    }
    assert lab.events() == [("pending", "r1", "0", "", "")]


def test_the_event_carries_the_params(lab: Any) -> None:
    lab.submit("r1", params='{\n\t"x": 1\n}')
    [event] = lab.reader.read()
    assert (event.task, event.detail, event.ms > 0) == ("a", '{  "x": 1 }', True)


def test_what_is_not_the_default_is_kept_with_the_run(lab: Any) -> None:
    lab.submit("r1", queue="gpu", priority=8, key="k 1")
    place = lab.score(8)
    facts = {"task": "a", "state": "pending", "score": str(place), "created": str(lab.NOW)}
    assert lab.state() == {
        "queues": {"gpu": "fifo"},
        "q:gpu": {"gpu/a#k 1": place},
        "lane:gpu/a#k 1": {"r1": place},
        "r:r1": {**facts, "queue": "gpu", "prio": "8", "key": "k 1"},
    }


def test_priority_comes_before_age_and_age_before_the_id(lab: Any) -> None:
    lab.submit("c", "b")
    lab.submit("low", priority=1)
    lab.pass_ms(1)
    lab.submit("a")
    lab.submit("high", priority=10)
    lab.enroll()
    assert lab.take(9) == ["high", "b", "c", "a", "low"]


def test_a_lifo_queue_hands_out_its_newest_run_first(lab: Any) -> None:
    lab.queue.order("default", "lifo")
    for run in ("old", "middle", "new"):
        lab.submit(run)
        lab.pass_ms(1)
    lab.submit("urgent", priority=6)
    lab.enroll()
    assert lab.take(9) == ["urgent", "new", "middle", "old"]


def test_whoever_can_take_it_is_woken_however_many_wait_that_cannot(lab: Any) -> None:
    able = [f"able{number}" for number in range(5)]
    for number in range(200):
        lab.enroll(f"other{number:03}", queues="other")
        lab.claim(worker=f"other{number:03}")
        if number % 40 == 0:
            worker = able[number // 40]
            lab.enroll(worker)
            lab.claim(worker=worker)
        lab.pass_ms(1)
    lab.submit("r1", "r2", "r3", "r4")
    assert [worker for worker in able if f"wake:{worker}" in lab.state()] == able[:4]
    lab.submit("r5")
    assert lab.state()[f"wake:{able[4]}"] == ["work"]
    assert len(lab.state()["idle"]) == 200


def test_the_order_of_a_queue_holds_for_what_comes_after(lab: Any) -> None:
    lab.submit("first")
    lab.queue.order("default", "lifo")
    lab.pass_ms(1)
    lab.submit("second")
    assert lab.state()["lane:default/a"] == {"first": lab.score(), "second": lab.score(ms=10**13 - lab.now)}


@pytest.mark.parametrize(("facts", "due"), [({"delay_ms": 500}, 500), ({"due_ms": 1_800_000_002_000}, 2000)])
def test_a_delayed_run_waits_outside_of_its_lane(lab: Any, facts: Any, due: Any) -> None:
    assert lab.submit("r1", **facts) == ["ok"]
    at, place = lab.NOW + due, lab.score(ms=lab.NOW + due)
    record = {"task": "a", "state": "delayed", "score": str(place), "created": str(lab.NOW), "due": str(at), "reason": "scheduled"}
    record |= {"delay": "500"} if "delay_ms" in facts else {}
    assert lab.state() == {"queues": {"default": "fifo"}, "delayed": {"r1": at}, "r:r1": record}
    assert lab.events() == [("delayed", "r1", "0", "", "scheduled")]


def test_a_time_that_has_passed_means_now(lab: Any) -> None:
    lab.submit("r1", due_ms=lab.NOW - 1)
    assert lab.state()["lane:default/a"] == {"r1": lab.score()}


def test_the_same_id_again_changes_nothing(lab: Any) -> None:
    lab.submit("r1", params='{"x":1}')
    before = lab.state()
    assert lab.submit("r1", params='{"x":1}') == ["duplicate"]
    assert lab.submit("r1", params='{"x":2}') == ["conflict"]
    assert lab.submit("r1", params='{"x":1}', task="b") == ["conflict"]
    assert lab.changes(before) == {}
    assert len(lab.events()) == 1


def test_an_id_twice_in_one_call_enters_once(lab: Any) -> None:
    assert lab.submit("r1", "r1", "r2") == ["ok", "duplicate", "ok"]
    assert lab.state()["lane:default/a"] == {"r1": lab.score(), "r2": lab.score()}


def test_an_idempotency_key_answers_with_the_first_run(lab: Any) -> None:
    assert lab.submit("r1", idempotency="key body") == ["ok"]
    before = lab.state()
    assert before["idem:key"] == "r1 body"
    assert 0 < lab.client.pttl(lab.key("idem:key")) <= 86_400_000
    assert lab.submit("r2", idempotency="key body") == ["same r1"]
    assert lab.submit("r2", idempotency="key other") == ["conflict"]
    assert lab.changes(before) == {}


def test_a_lost_reply_to_an_idempotent_submit_may_be_asked_for_again(lab: Any) -> None:
    lab.submit("r1", idempotency="key body")
    assert lab.submit("r1", idempotency="key body") == ["duplicate"]
    lab.client.delete(lab.key("r:r1"))
    assert lab.submit("r1", idempotency="key body") == ["ok"]


def test_an_idempotency_key_that_is_none_is_refused(lab: Any) -> None:
    with pytest.raises(ValueError, match="idempotency 'justone' of Run r1: two words"):
        lab.submit("r1", idempotency="justone")
    assert lab.state() == {}


def test_a_thousand_at_once(lab: Any) -> None:
    ids = [f"{number:04}" for number in range(1000)]
    assert lab.submit(*ids) == ["ok"] * 1000
    lab.enroll()
    assert lab.take(1000) == ids
    assert [event[0] for event in lab.events()] == ["pending"] * 1000 + ["running"] * 1000


def test_idle_workers_are_woken_as_many_as_can_be_used(lab: Any) -> None:
    for worker, tasks in (("w1", "a"), ("w2", "b"), ("w3", "a"), ("w4", "a")):
        lab.enroll(worker, tasks)
        assert lab.take(1, worker) == []
        lab.pass_ms(1)
    lab.submit("r1", "r2")
    state = lab.state()
    assert (state["wake:w1"], state["wake:w3"]) == (["work"], ["work"])
    assert set(state["idle"]) == {"w2", "w4"}
    assert "wake:w4" not in state


def test_a_worker_of_other_queues_sleeps_on(lab: Any) -> None:
    lab.enroll("w1", "a", queues="gpu")
    lab.enroll("w2", "a", queues="cpu default")
    assert (lab.take(1, "w1"), lab.take(1, "w2")) == ([], [])
    lab.submit("r1")
    assert set(lab.state()["idle"]) == {"w1"}


def test_a_submission_says_nothing_twice(lab: Any) -> None:
    lab.queue.submit([Submission(id="r1", task="a"), Submission(id="r2", task="b", queue="q2"), Submission(id="r3", task="a")])
    assert lab.state()["queues"] == {"default": "fifo", "q2": "fifo"}
    assert [line[1] for line in lab.events()] == ["r1", "r2", "r3"]
