"""enroll, beat, abandon, orphans: a worker's life under one id, used once."""

from typing import Any

from scheduler.core.ports import Enrolment, Orphan
from scheduler.core.run import Claim, Settlement
from scheduler.core.states import State


def test_a_worker_enters_service(lab: Any) -> None:
    worker = Enrolment("w", "host", 7, 20, ["cpu", "gpu"], ["a", "b"])
    assert lab.queue.enroll(worker, 15_000) is True
    facts = {"host": "host", "pid": "7", "slots": "20", "queues": ",cpu,gpu,", "started": str(lab.NOW)}
    state = {"leases": {"w": lab.NOW + 15_000}, "w:w": facts, "knows:w": {"a", "b"}}
    assert lab.state() == state
    lab.pass_ms(5)
    assert lab.queue.enroll(worker, 15_000) is True
    assert lab.state() == {**state, "leases": {"w": lab.now + 15_000}}


def test_it_may_know_thousands_of_tasks_or_none(lab: Any) -> None:
    names = [f"task{number}" for number in range(2500)]
    assert lab.queue.enroll(Enrolment("w1", "host", 1, 1, ["*"], names), 15_000) is True
    assert lab.queue.enroll(Enrolment("w2", "host", 1, 1, ["*"], []), 15_000) is True
    assert lab.state()["knows:w1"] == set(names)
    assert set(lab.state()["leases"]) == {"w1", "w2"}


def test_a_beat_renews_the_leases_of_those_who_have_one(lab: Any) -> None:
    lab.enroll("w1")
    lab.enroll("w2")
    lab.queue.abandon("w2")
    before = lab.state()
    lab.pass_ms(5000)
    assert lab.queue.beat(["w1", "w2", "w3"], 15_000) == {"w1": True, "w2": False, "w3": False}
    assert lab.queue.beat([], 15_000) == {}
    assert lab.changes(before) == {"leases": {"w1": lab.now + 15_000}}


def test_a_fenced_id_never_comes_back(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1")
    lab.take()
    lab.queue.abandon("w")
    assert lab.enroll() is False
    assert lab.queue.beat(["w"], 15_000) == {"w": False}
    [orphan] = lab.queue.orphans("w")
    lab.queue.settle([Settlement(orphan.claim.id, orphan.claim.token, State.PENDING)])
    assert lab.queue.orphans("w") == []
    assert lab.state()["gone"] == {"w": lab.NOW}
    before = lab.state()
    assert lab.enroll() is False
    lab.queue.abandon("w")
    assert lab.changes(before) == {}


def test_an_id_that_was_abandoned_before_it_enrolled_is_refused(lab: Any) -> None:
    lab.queue.abandon("w")
    assert lab.enroll() is False


def test_orphans_are_what_a_fenced_worker_holds(lab: Any) -> None:
    lab.enroll("w1")
    lab.enroll("w2")
    lab.submit("r1", params="{}")
    lab.take(1, "w1")
    lab.settle("r1", State.PENDING, strike="crash", worker="w1")
    lab.pass_ms(5)
    lab.submit("r2")
    lab.take(1, "w1")
    lab.take(1, "w2")
    assert lab.queue.orphans("w1") == []  # it is not fenced
    lab.queue.abandon("w1")
    assert lab.queue.orphans("w1") == [Orphan(Claim("r1", 2, 2, "a", "{}", 0, 1, None), lab.NOW + 5)]
    assert lab.queue.orphans("nobody") == []


def test_a_rescued_worker_is_forgotten_with_all_its_keys(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1", "r2")
    lab.take(2)
    lab.queue.cancel("r1")
    lab.queue.abandon("w")
    while orphans := lab.queue.orphans("w", 1):
        lab.queue.settle([Settlement(orphan.claim.id, orphan.claim.token, State.PENDING, "lost") for orphan in orphans])
    state = lab.state()
    assert [key for key in state if key.endswith(":w")] == []
    assert "fenced" not in state
    assert (lab.record("r1")["state"], lab.record("r2")["state"]) == ("cancelled", "pending")


def test_a_run_that_moved_on_is_no_orphan(lab: Any) -> None:
    lab.enroll("w1")
    lab.enroll("w2")
    lab.submit("r1")
    lab.take(1, "w1")
    lab.queue.settle([Settlement("r1", 1, State.PENDING)])
    lab.take(1, "w2")
    lab.client.sadd(lab.key("own:w1"), "r1")
    lab.queue.abandon("w1")
    assert lab.queue.orphans("w1") == []
    assert "own:w1" not in lab.state()
    assert lab.record("r1")["worker"] == "w2"


def test_the_book_of_the_gone_keeps_a_thousand(lab: Any) -> None:
    for number in range(1005):
        lab.pass_ms(1)
        lab.queue.abandon(f"w{number}")
        lab.queue.orphans(f"w{number}")
    gone = lab.state()["gone"]
    assert (len(gone), "w4" in gone, "w5" in gone) == (1000, False, True)


def test_a_worker_whose_facts_are_missing_is_fenced(lab: Any) -> None:
    lab.enroll()
    lab.client.delete(lab.key("w:w"))
    assert lab.turn(5).fenced
