import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from scheduler.core.clock import monotonic
from scheduler.core.outcome import Kind, Outcome
from scheduler.worker import process_tree
from scheduler.worker.process_slot import Patience

CANCELLED = Outcome(Kind.CANCELLED)


def numbers(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def test_a_daemon_dies_with_the_run_that_is_killed(bench: Any, tmp_path: Path, wait_until: Any, is_alive: Any) -> None:
    """Double fork, sessions of their own: nothing of it may outlive the outcome."""
    pids = tmp_path / "pids"
    started = bench.start("hostile:daemonize", {"pids": str(pids), "wait": True})
    daemon = wait_until(lambda: numbers(pids))[0]
    assert is_alive(daemon)
    started.handle.stop(CANCELLED)
    assert started.outcome().kind is Kind.CANCELLED
    assert not psutil.pid_exists(daemon)


def test_a_daemon_dies_with_the_run_that_left_it(bench: Any, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    assert bench.run("hostile:daemonize", {"pids": str(pids), "wait": False}).kind is Kind.OK
    assert [pid for pid in numbers(pids) if psutil.pid_exists(pid)] == []


def test_a_grandchild_that_keeps_stdout_open_delays_nothing(bench: Any, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    started = bench.start("hostile:background", {"pids": str(pids)}, run="noisy")
    assert started.outcome().result == '"done"'
    assert started.took_s < 1
    assert bench.output["noisy"] == b"hi\n"
    assert not psutil.pid_exists(numbers(pids)[0])


def test_a_worker_process_of_the_run_is_killed_after_a_moment(bench: Any, tmp_path: Path) -> None:
    started = bench.start("hostile:process_left", {"pids": str(tmp_path / "pids")})
    assert started.outcome().result == '"done"'
    assert 0.6 <= started.took_s < 1.6
    assert not psutil.pid_exists(numbers(tmp_path / "pids")[0])


def test_a_copy_that_comes_back_from_run_does_not_speak_for_it(bench: Any) -> None:
    for _ in range(5):
        outcome = bench.run("hostile:fork_and_return", {"value": "the original"})
        assert (outcome.kind, outcome.result) == (Kind.OK, '"the original"')


def test_numbers_that_come_and_go_do_not_lead_astray(make_bench: Any) -> None:
    bench = make_bench(measured=False)
    neighbours = [bench.start("tame:nap", {"seconds": 0.5}) for _ in range(2)]
    storm = [bench.start("hostile:fork_storm", {"count": 300}) for _ in range(2)]
    assert [one.outcome().result for one in storm] == ['"done"'] * 2
    assert [one.outcome().result for one in neighbours] == ['"slept"'] * 2


def test_a_run_away_chain_of_processes_is_caught(bench: Any, tmp_path: Path, wait_until: Any, is_alive: Any) -> None:
    pids = tmp_path / "pids"
    started = bench.start("hostile:fork_bomb", {"pids": str(pids)})
    wait_until(lambda: numbers(pids))
    started.handle.stop(CANCELLED)
    assert started.outcome().kind is Kind.CANCELLED
    seen = pids.read_text()
    wait_until(lambda: bench.run("tame:nothing").kind is Kind.OK)
    assert pids.read_text() == seen


def test_when_the_fork_server_dies_its_runs_are_lost_and_a_new_one_starts(make_bench: Any, tmp_path: Path, wait_until: Any) -> None:
    bench = make_bench()
    pids = tmp_path / "pids"
    started = bench.start("hostile:daemonize", {"pids": str(pids), "wait": True})
    wait_until(lambda: numbers(pids))
    doomed = [bench.server.pid, *bench.pids, *numbers(pids)]
    bench.server.kill()
    outcome = started.outcome()
    assert (outcome.kind, outcome.error.type) == (Kind.LOST, "ProcessLost")
    assert bench.run("tame:nothing").kind is Kind.OK
    assert bench.server.pid not in doomed
    assert [pid for pid in doomed if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE] == []


def test_a_run_that_was_told_to_stop_keeps_its_reason_when_the_fork_server_dies(make_bench: Any, tmp_path: Path, wait_until: Any) -> None:
    bench = make_bench(patience=Patience(term_ms=20_000, kill_ms=20_000))
    started = bench.start("tame:touch_and_sleep", {"path": str(tmp_path / "begun")})
    wait_until((tmp_path / "begun").exists)
    started.handle.stop(CANCELLED)
    bench.run("tame:nothing")  # requests are taken in their order
    bench.server.kill()
    assert started.outcome().kind is Kind.CANCELLED


def test_a_run_that_kills_its_fork_server_is_lost(make_bench: Any) -> None:
    bench = make_bench()
    assert bench.run("hostile:kill_parent", {"number": signal.SIGKILL}).kind is Kind.LOST
    assert bench.run("tame:nothing").kind is Kind.OK


def test_a_fork_server_that_does_not_answer_is_replaced(make_bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.worker.forkserver.PATIENCE_S", 1.0)
    bench = make_bench()
    bench.run("tame:nothing")
    stopper = bench.start("hostile:kill_parent", {"number": signal.SIGSTOP}, timeout_ms=200)
    assert stopper.outcome().kind is Kind.TIMED_OUT
    assert bench.run("tame:nothing").kind is Kind.OK


def test_a_run_that_cannot_be_killed_gives_its_slot_back(make_bench: Any, wait_until: Any, tmp_path: Path) -> None:
    """The fork server is stopped, so that KILL does not arrive: as with a process in an uninterruptible wait."""
    bench = make_bench(patience=Patience(term_ms=50, kill_ms=100, abandon_ms=200))
    started = bench.start("tame:touch_and_sleep", {"path": str(tmp_path / "begun")})
    wait_until((tmp_path / "begun").exists)
    bench.server.suspend()
    started.handle.stop(CANCELLED)
    assert started.outcome().kind is Kind.CANCELLED
    assert bench.runner.stats.leaving == 1
    bench.server.resume()
    wait_until(lambda: bench.runner.children == 0)


def test_what_cannot_be_killed_after_its_run_keeps_nobody_waiting(make_bench: Any, wait_until: Any, tmp_path: Path) -> None:
    bench = make_bench(patience=Patience(linger_ms=300, abandon_ms=200))
    started = bench.start("hostile:thread_left", {"seconds": 600, "path": str(tmp_path / "begun")})
    wait_until((tmp_path / "begun").exists)
    bench.server.suspend()
    assert started.outcome().result == '"done"'
    assert bench.runner.stats.leaving == 1
    bench.server.resume()
    wait_until(lambda: bench.runner.children == 0)


def test_terminate_is_no_business_of_the_fork_server(make_bench: Any) -> None:
    bench = make_bench()
    bench.run("tame:nothing")
    server = bench.server.pid
    os.kill(server, signal.SIGTERM)
    os.kill(server, signal.SIGINT)
    assert bench.run("tame:nothing", fresh=True).kind is Kind.OK
    assert bench.server.pid == server


def test_closing_hands_back_what_runs_and_leaves_nothing(make_bench: Any, tmp_path: Path, wait_until: Any, is_alive: Any) -> None:
    bench = make_bench()
    pids = tmp_path / "pids"
    started = [bench.start("hostile:daemonize", {"pids": str(pids), "wait": True}), bench.start("hostile:deaf")]
    wait_until(lambda: numbers(pids))
    doomed = [bench.server.pid, *bench.pids]
    began = monotonic()
    bench.runner.close()
    assert monotonic() - began < 2
    assert [(one.outcome().kind, one.outcome().reason) for one in started] == [(Kind.HANDED_BACK, "shutdown")] * 2
    assert [pid for pid in doomed if is_alive(pid)] == []
    bench.runner.close()
    with pytest.raises(RuntimeError, match="closed"):
        bench.start("tame:nothing")


def test_closing_does_not_wait_for_a_fork_server_that_hangs(make_bench: Any, is_alive: Any) -> None:
    bench = make_bench()
    bench.run("tame:nothing")
    server, children = bench.server, bench.pids
    server.suspend()
    bench.runner.close(timeout_s=0.3)
    assert not server.is_running()
    assert [pid for pid in children if is_alive(pid)] == []


def test_a_runner_that_never_ran_closes_at_once(make_bench: Any) -> None:
    make_bench().runner.close(timeout_s=1)


WORKER = """
import os, sys, threading
from pathlib import Path
sys.path[:0] = [{tasks!r}]
from scheduler.core.ports import Job
from scheduler.worker.processes import ProcessRunner
runner = ProcessRunner(
    env={{name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}},
    resolver="plain_resolver:resolve", prepare="plain_resolver:use_folder", plugins={tasks!r},
    on_output=lambda run, data: None, on_progress=lambda run, percent, message: None,
)
def start(target, **params):
    runner.start(Job("r", "t", target, params, 1, 1, None, None, None, False, {{}}), print)
start("hostile:daemonize", pids={pids!r}, wait=True)
start("hostile:deaf")
while not Path({pids!r}).exists():
    pass
if {copy!r} and os.fork() == 0:
    Path({copy!r}).write_text(str(os.getpid()))
threading.Event().wait(60)
"""


def worker(pids: Path, copy: str = "") -> subprocess.Popen[bytes]:
    """A worker with two Runs that will not end by themselves; ``copy``: and with a copy of itself, as careless user code makes it."""
    code = WORKER.format(tasks=str(Path(__file__).parent / "tasks"), pids=str(pids), copy=copy)
    return subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[3])


def whole_family(process: Any) -> list[int]:
    """The fork server, both Runs and the daemon of one; [] until all are there."""
    family = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    return family if len(family) >= 4 else []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_a_worker_that_dies(tmp_path: Path, wait_until: Any, is_alive: Any, number: int) -> None:
    pids = tmp_path / "pids"
    with worker(pids) as process:
        wait_until(lambda: numbers(pids))
        family = wait_until(lambda: whole_family(process))
        process.send_signal(number)
    wait_until(lambda: not [pid for pid in family if is_alive(pid)], 2.0)


def test_a_copy_of_the_worker_does_not_keep_its_runs_alive(tmp_path: Path, wait_until: Any, is_alive: Any) -> None:
    pids, copy = tmp_path / "pids", tmp_path / "copy"
    with worker(pids, str(copy)) as process:
        wait_until(lambda: numbers(pids) and numbers(copy))
        family = {child.pid for child in psutil.Process(process.pid).children(recursive=True)} - set(numbers(copy))
        process.kill()
    try:
        wait_until(lambda: not [pid for pid in family if is_alive(pid)], 2.0)
        assert is_alive(numbers(copy)[0])
    finally:
        os.kill(numbers(copy)[0], signal.SIGKILL)


def test_the_tree_of_a_process_is_known_without_proc_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels without that option, and other systems, are asked through psutil; both agree."""
    with subprocess.Popen(["/bin/sh", "-c", "sleep 60 & wait"]) as shell:
        try:
            while not (listed := process_tree.descendants(shell.pid)):
                pass
            monkeypatch.setattr(process_tree, "_CHILDREN_LISTED", False)
            assert process_tree.descendants(shell.pid) == listed
            assert process_tree.tree_rss(shell.pid) > 2**18
        finally:
            for pid in [*process_tree.descendants(shell.pid), shell.pid]:
                os.kill(pid, signal.SIGKILL)
    assert process_tree.children(shell.pid) == []
    assert process_tree.tree_rss(shell.pid) == 0


def test_a_system_without_prctl_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        def __init__(self, _name: object) -> None: ...

    monkeypatch.setattr("ctypes.CDLL", Nothing)
    assert not process_tree.adopt_orphans()
    assert not process_tree.on_parents_death(signal.SIGKILL)
