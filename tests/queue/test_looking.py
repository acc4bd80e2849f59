"""Looking at the queue: Runs, stats, events, progress, logs."""

import json
import logging
from typing import Any

import pytest

from scheduler.core.run import Run, Settlement
from scheduler.core.states import State
from scheduler.queue.stats import ClosedLane, QueueStats, read_stats


def test_a_run_is_read_back_as_it_was_told(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1", queue="q", priority=7, params='{"x":[1,null]}', key="k")
    lab.take()
    lab.queue.report("r1", 1, 40, "so far")
    lab.pass_ms(20)
    lab.settle("r1", State.DEAD, reason="error", result="[2]", error=json.dumps({"type": "E", "message": "m"}), strike="crash")
    assert lab.queue.get("r1") == Run(
        id="r1",
        task="a",
        state=State.DEAD,
        reason="error",
        queue="q",
        priority=7,
        params={"x": [1, None]},
        attempt=1,
        claims=1,
        crashes=1,
        created_ms=lab.NOW,
        started_ms=lab.NOW,
        ended_ms=lab.now,
        key="k",
        worker="w",
        result=[2],
        error={"type": "E", "message": "m"},
        progress=40,
        progress_message="so far",
    )
    assert lab.queue.get("ghost") is None


def populate(lab: Any) -> None:
    """A Run in each state, each of its own task but the last two."""
    lab.enroll(tasks="a b c d e")
    for number, state in enumerate([State.SUCCEEDED, State.FAILED, State.DEAD, State.CANCELLED]):
        lab.submit(f"{state}", task="abcd"[number])
        lab.take()
        lab.settle(state, state)
    lab.submit("running", task="e")
    lab.take()
    lab.submit("pending", task="e")
    lab.submit("closed", task="unknown")
    lab.take(0)
    lab.submit("delayed", task="a", delay_ms=5)


@pytest.mark.parametrize("state", ["running", "pending", "delayed", "dead", "succeeded", "failed", "cancelled"])
def test_runs_are_found_by_state(lab: Any, state: Any) -> None:
    populate(lab)
    found = {run.id for run in lab.queue.find(state=state)}
    assert found == ({"pending", "closed"} if state == "pending" else {state})


def test_runs_are_found_by_task_and_up_to_a_limit(lab: Any) -> None:
    populate(lab)
    assert {run.id for run in lab.queue.find(task="e")} == {"running", "pending"}
    assert {run.id for run in lab.queue.find(task="a", state="delayed")} == {"delayed"}
    everything = {"running", "pending", "closed", "delayed", "dead", "succeeded", "failed", "cancelled"}
    assert {run.id for run in lab.queue.find()} == everything
    assert len(list(lab.queue.find(limit=3))) == 3


def test_runs_of_a_fenced_worker_are_still_found(lab: Any) -> None:
    populate(lab)
    lab.queue.abandon("w")
    assert [run.id for run in lab.queue.find(state="running")] == ["running"]


def test_waiting_runs_behind_a_closed_gate_are_found(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1", "r2")
    lab.queue.pause("task", "a")
    lab.take()
    assert {run.id for run in lab.queue.find(state="pending")} == {"r1", "r2"}


def test_a_record_that_is_none_of_ours_is_passed_over(lab: Any) -> None:
    lab.submit("r1")
    lab.client.hset(lab.key("r:r2"), "foo", "bar")
    lab.client.zadd(lab.key("lane:default/a"), {"r2": 1})
    assert lab.queue.get("r2") is None
    assert [run.id for run in lab.queue.find(state="pending")] == ["r1"]


def test_progress_is_told_once(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1")
    lab.take()
    lab.events()
    before = lab.state()
    assert [lab.queue.report("r1", 1, 40, "so far"), lab.queue.report("r1", 1, 40, "so far")] == [True, True]
    assert lab.changes(before) == {"r:r1": {**before["r:r1"], "prog": "40", "note": "so far"}}
    [event] = lab.reader.read()
    assert (event.type, event.subject, event.token, event.worker, event.detail) == ("progress", "r1", 1, "w", "40")


def test_progress_with_a_stale_token_is_refused(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1")
    assert lab.queue.report("r1", 0, 10, "") is False
    lab.take()
    assert lab.queue.report("r1", 2, 10, "") is False
    lab.settle("r1")
    before = lab.state()
    assert lab.queue.report("r1", 1, 10, "") is False
    assert lab.changes(before) == {}


def test_the_tail_of_a_log_is_kept_for_a_day(lab: Any) -> None:
    assert lab.queue.read_log("r1") == (0, "")
    lab.queue.save_log("r1", "tail 中\n", 100_000)
    assert lab.queue.read_log("r1") == (100_000, "tail 中\n")
    assert 86_000 < lab.client.ttl(lab.key("log:r1")) <= 86_400


# ── Events ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_change_is_one_line(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1")
    lab.submit("r2", delay_ms=5)
    lab.take()
    lab.settle("r1", State.DELAYED, reason="error", delay_ms=5)
    lab.pass_ms(5)
    lab.sweep()
    lab.claim(2)
    lab.settle("r1", State.PENDING, 2, reason="shutdown")
    lab.queue.cancel("r1", "enough")
    lab.settle("r2", State.DEAD, 1, reason="poison")
    assert lab.events() == [
        ("pending", "r1", "0", "", ""),
        ("delayed", "r2", "0", "", "scheduled"),
        ("running", "r1", "1", "w", ""),
        ("delayed", "r1", "1", "w", "error"),
        ("pending", "r1", "1", "", "due"),
        ("pending", "r2", "0", "", "due"),
        ("running", "r1", "2", "w", ""),
        ("running", "r2", "1", "w", ""),
        ("pending", "r1", "2", "w", "shutdown"),
        ("cancelled", "r1", "2", "", "enough"),
        ("dead", "r2", "1", "w", "poison"),
    ]


def test_a_large_step_is_several_entries(lab: Any) -> None:
    lab.submit(*(f"r{number:03}" for number in range(450)))
    assert lab.client.xlen(lab.key("ev")) == 3
    assert [event.subject for event in lab.reader.read()] == [f"r{number:03}" for number in range(450)]


def test_a_reader_begins_with_what_is_new_and_knows_when_it_is_behind(lab: Any) -> None:
    reader = type(lab.reader)(lab.client, lab.queue.prefix, count=2)
    assert reader.read() == []
    for number in range(3):
        lab.submit(f"r{number}")
    assert [event.subject for event in reader.read()] == ["r0", "r1"]
    assert reader.behind
    assert [event.subject for event in reader.read()] == ["r2"]
    assert (reader.behind, reader.read()) == (False, [])
    late = type(lab.reader)(lab.client, lab.queue.prefix)
    assert late.read() == []
    lab.submit("r9")
    assert [event.subject for event in late.read(10)] == ["r9"]
    assert late.read(1) == []


def test_tabs_and_lines_in_reasons_do_not_break_an_event(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1")
    lab.take()
    lab.turn(0, Settlement("r1", 1, State.FAILED, "a\tb\nc", result='{\n"x":1\n}', duration_ms=1.5))
    [*_, event] = lab.reader.read()
    assert (event.reason, event.duration_ms, event.detail) == ("a b c", 1.5, '{ "x":1 }')


def test_an_event_has_the_head_of_a_result_or_of_params(lab: Any) -> None:
    lab.enroll()
    long = '"' + "é" * 250_000 + '"'
    lab.submit("r1", "r2", params=long)
    lab.take(2)
    lab.settle("r1", result=long)
    lab.settle("r2", State.PENDING, result='"' + "x" * 1022 + '"')
    details = [event.detail for event in lab.reader.read()]
    assert details == [long[:512], long[:512], "", "", long[:512], '"' + "x" * 1022 + '"']
    assert lab.record("r1")["result"] == long


@pytest.mark.parametrize("message", ["no data", "没" * 3000, '"\\\n' * 1000, ""])
def test_an_event_has_the_type_and_the_message_of_an_error_and_no_traceback(lab: Any, message: str) -> None:
    lab.enroll()
    lab.submit("r1")
    lab.take()
    error = json.dumps({"type": "ValueError", "message": message, "traceback": "line\n" * 50_000}, ensure_ascii=False)
    lab.settle("r1", State.FAILED, error=error)
    told = json.loads(lab.reader.read()[-1].detail)
    assert told == {"type": "ValueError", "message": told["message"]}
    assert message.startswith(told["message"])
    assert len(told["message"].encode()) > 1000 or told["message"] == message
    assert lab.record("r1")["error"] == error


@pytest.mark.parametrize("error", ["garbage", "[]", '{"type":1}', "x" * 5000, "[" * 1024])
def test_an_error_that_cannot_be_read_is_told_by_its_head(lab: Any, error: str) -> None:
    lab.enroll()
    lab.submit("r1")
    lab.take()
    lab.settle("r1", State.FAILED, error=error)
    assert lab.reader.read()[-1].detail in (error, error[:1023])


def test_big_results_do_not_fill_the_stream(lab: Any) -> None:
    lab.enroll()
    for number in range(40):
        lab.submit(f"r{number}")
        lab.take()
        lab.settle(f"r{number}", result='"' + "x" * 250_000 + '"')
    assert lab.client.memory_usage(lab.key("ev"), samples=0) < 100_000


def test_lines_that_are_no_events_are_passed_over(lab: Any, caplog: Any) -> None:
    lab.submit("r1")
    lab.client.xadd(lab.key("ev"), {"x": "1"})
    lab.client.xadd(lab.key("ev"), {"e": "pending\tx\ty\tno number\t\t\t0\t"})
    lab.submit("r2")
    with caplog.at_level(logging.WARNING):
        assert [event.subject for event in lab.reader.read()] == ["r1", "r2"]
    assert len(caplog.records) == 2


# ── Numbers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_centre(lab: Any) -> None:
    assert read_stats(lab.queue).to_dict() == {
        "now_ms": lab.NOW,
        "queues": {},
        "closed": [],
        "workers": {},
        "running": 0,
        "delayed": 0,
        "finished": 0,
        "dead": 0,
    }


def test_all_numbers_of_one_instant(lab: Any) -> None:
    lab.enroll("w1", "a b")
    lab.enroll("w2", "a")
    lab.define("a", limit=1)
    lab.submit("r1", "r2")
    lab.submit("d1", delay_ms=5)
    assert lab.take(1, "w1") == ["r1"]
    lab.pass_ms(30)
    lab.submit("b1", "b2", task="b", queue="other")
    lab.queue.order("other", "lifo")
    lab.queue.pause("queue", "other")
    assert lab.take(1, "w2") == []
    lab.pass_ms(70)
    stats = read_stats(lab.queue)
    assert stats.queues == {"default": QueueStats(1, 100, False, "fifo"), "other": QueueStats(2, 70, True, "lifo")}
    assert stats.closed == [ClosedLane("default/a", "concurrency", lab.NOW + 30 + 60_000, 1)]
    assert (stats.workers, stats.running, stats.delayed, stats.finished, stats.dead) == ({"w1": 1, "w2": 0}, 1, 1, 0, 0)


def test_a_closed_lane_without_a_reason_is_shown_all_the_same(lab: Any) -> None:
    lab.client.zadd(lab.key("closed"), {"default/x": 5})
    assert read_stats(lab.queue).closed == [ClosedLane("default/x", "", 0, 0)]
