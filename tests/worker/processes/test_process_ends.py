import signal
from pathlib import Path
from typing import Any

import pytest

from scheduler.core.outcome import Kind, Outcome
from scheduler.worker.process_slot import Patience

CANCELLED = Outcome(Kind.CANCELLED, reason="cancelled")


@pytest.mark.parametrize(
    ("target", "params", "message"),
    [
        ("hostile:os_exit", {"code": 0}, "exited with code 0"),
        ("hostile:os_exit", {"code": 9}, "exited with code 9"),
        ("hostile:segfault", {}, "killed by SIGSEGV"),
        ("hostile:abort", {}, "killed by SIGABRT"),
        ("hostile:stack_overflow", {}, "killed by SIGSEGV"),
        ("hostile:kill_self", {"number": signal.SIGTERM}, "killed by SIGTERM"),
        ("hostile:kill_self", {"number": 40}, "killed by signal 40"),
        ("hostile:kill_self", {"number": signal.SIGKILL}, "killed by SIGKILL (likely out of memory; peak RSS "),
        ("hostile:close_everything", {}, "closed its control channel"),
        ("hostile:nonsense", {"data": "nonsense\n"}, "broke its control channel"),
        ("hostile:nonsense", {"data": '["end", 1]\n'}, "broke its control channel"),
        ("hostile:nonsense", {"data": '["end", true, false, 1, "ok", "", [1], "", 0]\n'}, "broke its control channel"),
        ("hostile:nonsense", {"data": '["end", true, false, 1, "ok", "", 5, "", 0]\n'}, "broke its control channel"),
    ],
)
def test_a_process_that_dies_takes_only_its_run(bench: Any, target: str, params: dict[str, Any], message: str) -> None:
    neighbour = bench.start("tame:nap", {"seconds": 0.1})
    outcome = bench.run(target, params)
    assert outcome.kind is Kind.CRASHED
    assert outcome.error.message.startswith(message)
    assert neighbour.outcome().result == '"slept"'


@pytest.mark.parametrize("target", ["spin", "hold_the_gil", "regex", "deaf", "stop_self"])
def test_a_run_over_its_deadline_ends_within_a_second(bench: Any, target: str) -> None:
    started = bench.start(f"hostile:{target}", timeout_ms=200)
    outcome = started.outcome()
    assert (outcome.kind, outcome.error.message) == (Kind.TIMED_OUT, "任务 a_task 执行超时 (0.2秒)")
    assert outcome.duration_ms >= 200
    assert started.took_s < 1.2


def test_the_deadline_is_for_each_run_of_a_warm_process(bench: Any) -> None:
    outcomes = [bench.run("tame:nap", {"seconds": 0.1}, timeout_ms=350) for _ in range(5)]
    assert {outcome.kind for outcome in outcomes} == {Kind.OK}


def test_a_run_that_stops_when_asked_keeps_its_process(bench: Any, tmp_path: Path, wait_until: Any) -> None:
    bench.run("tame:nothing")
    forked = bench.runner.stats.forked
    started = bench.start("tame:until_told", {"path": str(tmp_path / "begun")})
    wait_until((tmp_path / "begun").exists)
    started.handle.stop(CANCELLED)
    outcome = started.outcome()
    assert (outcome.kind, outcome.reason) == (Kind.CANCELLED, "cancelled")
    assert bench.run("tame:context").kind is Kind.OK
    assert bench.runner.stats.forked == forked


def test_a_run_that_stops_in_order_at_its_deadline_has_timed_out(bench: Any, tmp_path: Path) -> None:
    assert bench.run("tame:until_told", {"path": str(tmp_path / "begun")}, timeout_ms=100, fresh=True).kind is Kind.TIMED_OUT


def test_a_run_that_never_noticed_and_finished_has_succeeded(make_bench: Any, tmp_path: Path, wait_until: Any) -> None:
    bench = make_bench(patience=Patience(term_ms=20_000, kill_ms=20_000))
    started = bench.start("tame:until_file", {"path": str(tmp_path / "end"), "started": str(tmp_path / "begun")})
    wait_until((tmp_path / "begun").exists)
    started.handle.stop(CANCELLED)
    (tmp_path / "end").touch()
    assert (started.outcome().kind, started.outcome().result) == (Kind.OK, '"finished by itself"')


@pytest.mark.parametrize("target", ["spin", "deaf"])
def test_cancel_ends_what_does_not_listen(bench: Any, target: str) -> None:
    started = bench.start(f"hostile:{target}")
    started.handle.stop(CANCELLED)
    outcome = started.outcome()
    assert outcome.kind is Kind.CANCELLED
    assert outcome.duration_ms > 0
    assert started.took_s < 2


@pytest.mark.parametrize("target", ["spin", "regex", "hold_the_gil"])
def test_a_deadline_holds_though_nobody_has_time_to_enforce_it(make_bench: Any, target: str) -> None:
    started = make_bench(patience=Patience(deadline_term_ms=60_000, deadline_kill_ms=60_000)).start(f"hostile:{target}", timeout_ms=100)
    assert started.outcome().kind is Kind.TIMED_OUT
    assert started.took_s < 3


@pytest.mark.parametrize("target", ["hold", "hold_as_coroutine"])
def test_what_a_run_holds_is_released_before_it_is_killed(make_bench: Any, tmp_path: Path, wait_until: Any, target: str) -> None:
    bench = make_bench(patience=Patience(term_ms=0, kill_ms=20_000))
    begun, released = tmp_path / "begun", tmp_path / "released"
    started = bench.start(f"tame:{target}", {"begun": str(begun), "released": str(released)})
    wait_until(begun.exists)
    started.handle.stop(CANCELLED)
    assert started.outcome().kind is Kind.CANCELLED
    assert released.exists()
    assert bench.run("tame:nothing").kind is Kind.OK
    assert bench.runner.stats.forked == 2


def test_a_run_that_was_only_asked_may_heed_it(bench: Any, tmp_path: Path, wait_until: Any) -> None:
    started = bench.start("tame:until_told", {"path": str(tmp_path / "begun")})
    wait_until((tmp_path / "begun").exists)
    started.handle.ask(Outcome(Kind.HANDED_BACK))
    assert started.outcome().kind is Kind.HANDED_BACK
    started.handle.ask(Outcome(Kind.HANDED_BACK))
    assert bench.run("tame:context").kind is Kind.OK


def test_a_run_that_was_only_asked_may_go_on(make_bench: Any, tmp_path: Path, wait_until: Any) -> None:
    bench = make_bench(patience=Patience(term_ms=0, kill_ms=0))
    started = bench.start("tame:until_file", {"path": str(tmp_path / "end"), "started": str(tmp_path / "begun")})
    wait_until((tmp_path / "begun").exists)
    started.handle.ask(Outcome(Kind.HANDED_BACK))
    bench.run("tame:nothing")
    (tmp_path / "end").touch()
    assert started.outcome().result == '"finished by itself"'


def test_who_was_asked_before_gets_less_time(make_bench: Any, tmp_path: Path, wait_until: Any) -> None:
    bench = make_bench(patience=Patience(term_ms=20_000, kill_ms=20_000, asked_kill_ms=100))
    started = bench.start("tame:touch_and_sleep", {"path": str(tmp_path / "begun")})
    wait_until((tmp_path / "begun").exists)
    started.handle.ask(Outcome(Kind.HANDED_BACK))
    started.handle.stop(CANCELLED)
    assert started.outcome().kind is Kind.CANCELLED
    assert started.took_s < 5


def test_what_is_asked_before_it_begins_never_begins(make_bench: Any) -> None:
    bench = make_bench()
    started = [bench.start("tame:nap", {"seconds": 0.01}, fresh=True) for _ in range(20)]
    started[-1].handle.ask(Outcome(Kind.HANDED_BACK))
    assert started[-1].outcome().kind is Kind.HANDED_BACK
    assert {one.outcome().kind for one in started[:-1]} == {Kind.OK}


def test_asked_twice_it_is_killed_at_once(make_bench: Any, tmp_path: Path, wait_until: Any) -> None:
    bench = make_bench(patience=Patience(term_ms=20_000, kill_ms=20_000))
    started = bench.start("tame:touch_and_sleep", {"path": str(tmp_path / "begun")})
    wait_until((tmp_path / "begun").exists)
    started.handle.stop(CANCELLED)
    started.handle.stop(Outcome(Kind.HANDED_BACK))
    assert started.outcome().kind is Kind.CANCELLED
    assert started.took_s < 5


def test_stopping_what_has_ended_changes_nothing(bench: Any) -> None:
    started = bench.start("tame:nothing")
    assert started.outcome().kind is Kind.OK
    started.handle.stop(CANCELLED)
    assert bench.run("tame:nothing").kind is Kind.OK
    assert started.outcome().kind is Kind.OK


def test_cancel_races_the_end_and_one_of_them_wins(bench: Any) -> None:
    kinds = set()
    for _ in range(100):
        started = bench.start("tame:nothing")
        started.handle.stop(CANCELLED)
        kinds.add(started.outcome().kind)
    assert kinds <= {Kind.OK, Kind.CANCELLED}
    assert bench.run("tame:context").kind is Kind.OK


def test_a_signal_that_comes_late_does_not_meet_the_next_run(make_bench: Any) -> None:
    bench = make_bench(patience=Patience(term_ms=0, kill_ms=0), measured=False)
    for _ in range(150):
        started = bench.start("tame:nothing")
        started.handle.stop(CANCELLED)
        started.outcome()
        assert bench.run("tame:nothing").kind is Kind.OK


def test_memory_of_the_whole_tree_is_limited(bench: Any) -> None:
    limit = 120 * 1024 * 1024
    started = bench.start("hostile:eat", {"mib": 400}, memory_limit=limit)
    outcome = started.outcome()
    assert (outcome.kind, outcome.error.type) == (Kind.OOM, "MemoryError")
    assert outcome.error.message.endswith(" > 120 MiB limit")
    assert started.took_s < 5


def test_a_run_within_its_memory_limit_is_left_alone(bench: Any) -> None:
    assert bench.run("tame:nap", {"seconds": 0.6}, memory_limit=2**30).kind is Kind.OK


def test_a_crash_in_the_middle_of_many(make_bench: Any) -> None:
    """Every hostile kind at once, with eight innocent neighbours."""
    bench = make_bench(output_cap=100_000)
    innocents = [bench.start("tame:nap", {"seconds": 0.8}) for _ in range(8)]
    targets = ["segfault", "abort", "spin", "hold_the_gil", "regex", "deaf", "stop_self", "flood", "close_everything", "recurse"]
    hostile = [bench.start(f"hostile:{target}", timeout_ms=300) for target in targets]
    assert all(started.outcome().kind is not Kind.OK for started in hostile)
    assert [started.outcome().result for started in innocents] == ['"slept"'] * 8
