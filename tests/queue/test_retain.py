"""retain: what leaves the store by number and by age, and how far events may be trimmed."""

from typing import Any

from scheduler.core.states import State


def finished(lab: Any, count: int) -> None:
    """So many finished Runs, a millisecond apart."""
    lab.enroll()
    for number in range(count):
        lab.submit(f"r{number:03}")
        lab.take()
        lab.settle(f"r{number:03}")
        lab.pass_ms(1)


def test_the_oldest_beyond_the_number_leave(lab: Any) -> None:
    finished(lab, 5)
    before = lab.state()
    assert lab.queue.retain(keep=3, keep_ms=10**6, events=10**6) == 2
    kept = {"r002": lab.NOW + 2, "r003": lab.NOW + 3, "r004": lab.NOW + 4}
    assert lab.changes(before) == {"meta": {"keep": "3"}, "done": kept, "r:r000": None, "r:r001": None}
    assert lab.queue.retain(keep=3, keep_ms=10**6, events=10**6) == 0


def test_the_old_leave_with_their_logs(lab: Any) -> None:
    finished(lab, 5)
    lab.queue.save_log("r001", "text", 4)
    lab.pass_ms(100)
    assert lab.queue.retain(keep=10, keep_ms=103, events=10**6) == 3
    assert set(lab.state()["done"]) == {"r003", "r004"}
    assert "log:r001" not in lab.state()


def test_dead_letters_stay(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1")
    lab.take()
    lab.settle("r1", State.DEAD)
    lab.pass_ms(10**9)
    assert lab.queue.retain(keep=0, keep_ms=1, events=0) == 0
    assert set(lab.state()["dead"]) == {"r1"}


def test_one_call_is_bounded(lab: Any) -> None:
    finished(lab, 30)
    lab.pass_ms(10**6)
    assert [lab.queue.retain(keep=100, keep_ms=1, events=10**6, most=20) for _ in range(3)] == [20, 10, 0]


def entries(lab: Any, count: int) -> list[str]:
    """Ids of that many entries in the stream."""
    for number in range(count):
        lab.submit(f"r{number}")
    return [entry for entry, _ in lab.client.xrange(lab.key("ev"))]


def trim(lab: Any, most: int = 0) -> int:
    lab.queue.retain(keep=10**6, keep_ms=10**9, events=most)
    return int(lab.client.xlen(lab.key("ev")))


def test_without_readers_the_newest_events_are_kept(lab: Any) -> None:
    entries(lab, 450)
    assert 200 <= trim(lab, 200) < 300  # whole nodes of 100 entries leave


def test_a_reader_that_has_read_nothing_keeps_everything(lab: Any) -> None:
    entries(lab, 450)
    lab.client.xgroup_create(lab.key("ev"), "history", "0")
    assert trim(lab) == 450


def test_the_slowest_reader_decides(lab: Any) -> None:
    ids = entries(lab, 450)
    lab.client.xgroup_create(lab.key("ev"), "fast", ids[-1])
    lab.client.xgroup_create(lab.key("ev"), "slow", ids[249])
    assert trim(lab) == 250  # what it has not read, and the rest of that node
    lab.client.xgroup_setid(lab.key("ev"), "slow", ids[-1])
    assert trim(lab) < 100


def test_what_was_read_but_not_acknowledged_is_kept(lab: Any) -> None:
    ids = entries(lab, 450)
    lab.client.xgroup_create(lab.key("ev"), "history", "0")
    lab.client.xreadgroup("history", "me", {lab.key("ev"): ">"}, count=450)
    lab.client.xack(lab.key("ev"), "history", *ids[:150])
    assert trim(lab) == 350
    lab.client.xack(lab.key("ev"), "history", *ids)
    assert trim(lab) < 100


def test_with_no_stream_there_is_nothing_to_trim(lab: Any) -> None:
    assert trim(lab) == 0
