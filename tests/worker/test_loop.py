"""The worker on a real queue: every kind of slot, every way to end, and what it does when the store or the lease is gone."""

import json
from typing import Any

import pytest

from scheduler.core.outcome import Kind, Outcome
from scheduler.core.run import Settlement
from scheduler.core.states import State


def test_a_run_succeeds_with_its_result(lab: Any) -> None:
    lab.worker()
    run = lab.end(lab.submit("ok", '{"x": {"a": [1, "ü"]}}'))
    assert (run.state, run.result, run.attempt, run.claims) == ("succeeded", {"a": [1, "ü"]}, 1, 1)


def test_an_error_is_told_with_its_traceback(lab: Any) -> None:
    lab.worker()
    run = lab.end(lab.submit("boom"))
    assert (run.state, run.reason) == ("failed", "error")
    assert run.error["type"] == "ValueError"
    assert "lab_tasks.py" in run.error["traceback"]


def test_the_last_attempt_ends_in_a_dead_letter(lab: Any) -> None:
    lab.worker()
    run = lab.submit("twice")
    lab.until(lambda: lab.queue.get(run).state in ("delayed", "dead"))
    lab.until(lambda: lab.queue.sweep(expected_ms=None, longest_lease_ms=60_000).moved or lab.queue.get(run).state == "dead")
    assert lab.end(run).state == "dead"
    assert lab.end(run).attempt == 2


@pytest.mark.parametrize(("task", "result"), [("co", 1), ("alone", None)])
def test_other_slots(lab: Any, task: str, result: Any) -> None:
    lab.worker()
    run = lab.end(lab.submit(task))
    assert (run.state, run.result) == ("succeeded", result)


def test_many_short_runs_need_one_thread(lab: Any) -> None:
    built = lab.worker()
    runs = [lab.submit("note", json.dumps({"x": n})) for n in range(300)]
    for run in runs:
        assert lab.end(run).state == "succeeded"
    import lab_tasks

    assert list(range(300)) == lab_tasks.SEEN  # strictly in order, too
    assert built.worker.finished == 300


def test_long_runs_get_threads_of_their_own_up_to_the_limit(lab: Any) -> None:
    lab.worker()
    runs = [lab.submit("hold") for _ in range(6)]
    lab.until(lambda: sum(lab.queue.get(run).state == "running" for run in runs) == 4)
    assert [lab.queue.get(run).state for run in runs[4:]] == ["pending"] * 2
    import lab_tasks

    lab_tasks.GO.set()
    assert {lab.end(run).result for run in runs} == {"held"}


@pytest.mark.usefixtures("untraced")
def test_a_loop_in_python_is_broken_at_its_deadline(lab: Any) -> None:
    built = lab.worker()
    run = lab.end(lab.submit("spin"))
    assert (run.state, run.reason) == ("failed", "timed_out")
    assert run.error["message"] == "任务 spin 执行超时 (0.2秒)"
    assert run.ended_ms - run.started_ms <= 1200
    lab.until(lambda: built.worker.slots.stuck == 0)  # the thread was interrupted and came back


def test_a_call_into_c_is_given_up_and_its_late_result_discarded(lab: Any) -> None:
    built = lab.worker()
    run = lab.end(lab.submit("deaf"))
    assert (run.state, run.reason) == ("failed", "timed_out")
    assert built.worker.slots.stuck == 1
    assert lab.end(lab.submit("ok")).state == "succeeded"
    lab.until(lambda: built.worker.slots.stuck == 0)
    assert lab.queue.get(run.id).state == "failed"


@pytest.mark.parametrize("task", ["co_late", "co_deaf"])
def test_a_coroutine_is_cancelled_at_its_deadline(lab: Any, task: str) -> None:
    lab.worker()
    run = lab.end(lab.submit(task))
    assert (run.state, run.reason) == ("failed", "timed_out")
    assert lab.end(lab.submit("co")).state == "succeeded"


@pytest.mark.parametrize("task", ["polite", "co_forever"])
def test_cancel_reaches_a_running_run(lab: Any, task: str) -> None:
    lab.worker()
    run = lab.submit(task)
    lab.running(run)
    assert lab.queue.cancel(run, "not needed") == "cancelling"
    ended = lab.end(run)
    assert (ended.state, ended.reason) == ("cancelled", "not needed")


def test_a_run_that_never_looked_and_succeeded_wins_over_a_late_cancel(lab: Any) -> None:
    lab.worker()
    run = lab.submit("hold")
    lab.running(run)
    lab.queue.cancel(run)
    import lab_tasks

    lab_tasks.GO.set()
    assert lab.end(run).state == "succeeded"


def test_output_and_progress_are_published(lab: Any) -> None:
    lab.worker()
    run = lab.end(lab.submit("talk"))
    total, tail = lab.queue.read_log(run.id)
    assert total == 0 or "out" in tail
    assert (run.progress, run.progress_message) == (40, "two of five")


def test_an_unknown_target_is_refused_not_retried(lab: Any) -> None:
    lab.worker()
    run = lab.end(lab.submit("missing"))
    assert (run.state, run.reason) == ("failed", "refused")
    assert "nothing" in run.error["message"]


def test_drain_hands_back_what_stopped_half_way(lab: Any) -> None:
    built = lab.worker()
    run = lab.submit("polite")
    lab.running(run)
    built.worker.drain()
    assert built.worker.idle.wait(5)
    back = lab.queue.get(run)
    assert (back.state, back.reason, back.attempt, back.claims) == ("pending", "shutdown", 0, 1)


def test_abort_hands_back_what_does_not_listen(lab: Any) -> None:
    built = lab.worker()
    run = lab.submit("hold")
    lab.running(run)
    built.worker.drain()
    built.worker.abort(Outcome(Kind.HANDED_BACK))
    assert built.worker.idle.wait(5)
    assert lab.queue.get(run).state == "pending"
    lab.worker("w2")
    assert lab.running(run).worker == "w2"


def test_a_fenced_worker_drops_everything(lab: Any) -> None:
    built = lab.worker()
    run = lab.submit("polite")
    lab.running(run)
    lab.queue.abandon("w1")
    lab.submit("ok")  # the wake-up makes it ask
    lab.until(lambda: built.worker.fenced, seconds=15)
    assert not built.worker.held()
    assert [orphan.claim.id for orphan in lab.queue.orphans("w1")] == [run]


def test_a_lost_reply_neither_loses_nor_doubles(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    built = lab.worker()
    turn, dropped = built.worker._queue.turn, []

    def lossy(*args: Any) -> Any:
        answer = turn(*args)
        if (answer.claims or args[3]) and len(dropped) < 6:
            dropped.append(answer)
            raise ConnectionError("the reply was lost")
        return answer

    monkeypatch.setattr(built.worker._queue, "turn", lossy)
    runs = [lab.submit("note", json.dumps({"x": f"lossy{n}"})) for n in range(20)]
    for run in runs:
        ended = lab.end(run)
        assert (ended.state, ended.claims) == ("succeeded", 1)
    import lab_tasks

    assert dropped
    assert [x for x in lab_tasks.SEEN if str(x).startswith("lossy")] == [f"lossy{n}" for n in range(20)]


def test_what_the_store_believes_and_we_do_not_know_goes_back(lab: Any) -> None:
    built = lab.worker()
    lab.end(lab.submit("ok"))
    run = lab.submit("hold", delay_ms=3_600_000)
    record = f"{lab.queue.prefix}r:{run}"
    lab.queue.client.zrem(f"{lab.queue.prefix}delayed", run)
    lab.queue.client.hset(record, mapping={"state": "running", "worker": "w1", "token": 7, "att": 1})
    lab.queue.client.sadd(f"{lab.queue.prefix}own:w1", run)
    built.worker.drain()  # so that it is not claimed again at once
    assert built.worker.idle.wait(5)
    for _ in range(10):
        built.housekeeper.step()
    assert lab.queue.get(run).state == "pending"


def test_the_housekeeper_hears_a_cancel_that_nobody_called(lab: Any) -> None:
    built = lab.worker()
    run = lab.submit("polite")
    lab.running(run)
    lab.queue.client.hset(f"{lab.queue.prefix}r:{run}", "cancel", "by hand")
    lab.queue.client.sadd(f"{lab.queue.prefix}cancels:w1", run)
    for _ in range(5):
        built.housekeeper.step()
    assert lab.end(run).reason == "by hand"


def test_after_two_losses_a_run_is_alone_in_a_process(lab: Any) -> None:
    run = lab.submit("ok")
    for n in range(2):
        from scheduler.core.ports import Enrolment, Free

        lab.queue.enroll(Enrolment(f"dead{n}", "h", 1, 1, ["*"], ["ok"]), 60_000)
        [claim] = lab.queue.turn(f"dead{n}", "1", Free(default=1)).claims
        lab.queue.settle([Settlement(claim.id, claim.token, State.PENDING, "lost", burn=False, strike="loss")])
    built = lab.worker()
    ended = lab.end(run)
    assert (ended.state, ended.losses, ended.claims) == ("succeeded", 2, 3)
    assert built.runner.children == 0  # fresh, for this attempt alone


def test_a_worker_that_retires_lets_its_runs_finish(lab: Any) -> None:
    built = lab.worker()
    run = lab.submit("hold")
    lab.running(run)
    built.worker.drain(ask=False)
    import lab_tasks

    lab_tasks.GO.set()
    assert built.worker.idle.wait(5)
    assert lab.queue.get(run).state == "succeeded"
