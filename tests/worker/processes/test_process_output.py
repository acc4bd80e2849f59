from typing import Any

import psutil

from scheduler.core.clock import monotonic
from scheduler.core.outcome import Kind, Outcome


def test_what_a_run_prints_and_logs_is_its_own(bench: Any) -> None:
    for run in ("first", "second"):
        bench.run("tame:talk", {"lines": 3}, run=run)
        lines = bench.output[run].decode().splitlines()
        assert lines[:4] == ["line 0", "line 1", "line 2", "to stderr"]
        assert [line.split(" ", 2)[2] for line in lines[4:]] == ["INFO mine: a record", "INFO run.a_task: for the run"]


def test_silent_runs_are_not_heard_of(bench: Any) -> None:
    bench.run("tame:nothing", run="silent")
    assert "silent" not in bench.output


def test_output_is_passed_on_as_it_is(bench: Any) -> None:
    assert bench.run("hostile:print_bytes", run="raw").kind is Kind.OK
    assert bench.output["raw"] == b"\xff\xfe\x00\x1b[31m\x80bytestext \\udcff \x00\n"


def test_output_comes_while_the_run_goes_on(bench: Any, wait_until: Any) -> None:
    started = bench.start("tame:talk_and_wait", run="live")
    wait_until(lambda: bench.output["live"] == b"now\n")
    assert not started.outcomes
    started.handle.stop(Outcome(Kind.CANCELLED))
    started.outcome()


def test_the_last_words_of_a_crash_are_kept(bench: Any) -> None:
    assert bench.run("tame:last_words", run="crash").kind is Kind.CRASHED
    assert bench.output["crash"] == b"last words\n"


def test_one_line_without_an_end_is_no_burden(bench: Any) -> None:
    """Within the cap at full speed, then in a trickle of about 13 MB a second."""
    rss = psutil.Process().memory_info().rss
    assert bench.run("hostile:one_long_line", {"mib": 24}, run="long").result == '"printed"'
    assert bench.output["long"].endswith(b"xthe end")
    assert psutil.Process().memory_info().rss - rss < 20 * 2**20


def test_a_flood_slows_down_its_source_alone(make_bench: Any) -> None:
    taken = []
    bench = make_bench(output_cap=1_000_000, on_output=lambda _run, data: taken.append(len(data)))
    [bench.run("tame:nothing") for _ in range(2)]
    floods = [bench.start("hostile:flood", timeout_ms=1000) for _ in range(2)]
    began, count = monotonic(), 0
    while monotonic() - began < 0.6:
        assert bench.run("tame:nothing").kind is Kind.OK
        count += 1
    assert count > 100  # neighbours go on as if nothing was
    assert {flood.outcome().kind for flood in floods} == {Kind.TIMED_OUT}
    assert 2_000_000 < sum(taken) < 80_000_000


def test_a_callback_that_raises_harms_no_run(make_bench: Any) -> None:
    def broken(*_: object) -> None:
        raise ValueError("of the listener")

    bench = make_bench(on_output=broken, on_progress=broken)
    assert bench.run("tame:talk", {"lines": 1}).kind is Kind.OK
    assert bench.run("tame:progress", {"steps": 1}).kind is Kind.OK


def test_a_mistake_of_ours_costs_one_child_not_the_runner(make_bench: Any, monkeypatch: Any, caplog: Any, wait_until: Any) -> None:
    def mistaken(_fields: object) -> None:
        raise AttributeError("a mistake of ours")

    bench = make_bench()
    bench.run("tame:nothing")
    neighbour = bench.start("tame:nap", {"seconds": 0.5})
    with monkeypatch.context() as patch:
        patch.setattr("scheduler.worker.process_slot.outcome_of_fields", mistaken)
        outcome = bench.run("tame:nothing")
    assert (outcome.kind, outcome.error.type) == (Kind.LOST, "ProcessLost")
    assert "stumbled" in caplog.text
    assert neighbour.outcome().result == '"slept"'
    assert bench.run("tame:nothing").kind is Kind.OK
    wait_until(lambda: len(bench.pids) == bench.runner.children == bench.runner.stats.warm)


def test_no_interpreter_is_a_lost_run(make_bench: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/python")
    outcome = make_bench().run("tame:nothing")
    assert (outcome.kind, outcome.error.type) == (Kind.LOST, "ProcessLost")
    assert "/no/such/python" in outcome.error.message


def test_no_descriptors_are_a_lost_run(make_bench: Any, monkeypatch: Any) -> None:
    def exhausted() -> None:
        raise OSError(24, "Too many open files")

    bench = make_bench()
    bench.run("tame:nothing")
    with monkeypatch.context() as patch:
        patch.setattr("os.pipe", exhausted)
        assert bench.run("tame:nothing", fresh=True).error.message.endswith("Too many open files")
    assert bench.run("tame:nothing", fresh=True).kind is Kind.OK


def test_no_threads_are_a_lost_run(make_bench: Any, monkeypatch: Any) -> None:
    def exhausted(_thread: object) -> None:
        raise RuntimeError("can't start new thread")

    bench = make_bench()
    with monkeypatch.context() as patch:
        patch.setattr("threading.Thread.start", exhausted)
        assert bench.run("tame:nothing").error.message.endswith("can't start new thread")
    assert bench.runner.children == 0
    assert bench.run("tame:nothing").kind is Kind.OK


def test_a_fork_server_that_cannot_start_loses_what_waits_for_it(make_bench: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    bench = make_bench()
    started = [bench.start("tame:nothing") for _ in range(20)]
    assert {one.outcome().kind for one in started} == {Kind.LOST}


def test_a_burst_waits_its_turn_and_can_be_stopped_there(make_bench: Any) -> None:
    bench = make_bench()
    started = [bench.start("tame:nap", {"seconds": 0.01}, fresh=True) for _ in range(60)]
    started[-1].handle.stop(Outcome(Kind.CANCELLED))
    assert started[-1].outcome().kind is Kind.CANCELLED
    bench.runner.close()
    assert {one.outcome().kind for one in started[:-1]} <= {Kind.OK, Kind.HANDED_BACK}
