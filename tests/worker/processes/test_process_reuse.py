import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from scheduler.core.outcome import Kind


def pid_of(bench: Any, **options: Any) -> int:
    return int(bench.run("tame:pid", **options).result)


def test_small_runs_share_one_process_until_it_is_worn_out(make_bench: Any) -> None:
    bench = make_bench()
    pids = [pid_of(bench) for _ in range(201)]
    assert len(set(pids[:200])) == 1
    assert pids[200] != pids[0]
    assert bench.runner.stats.forked == 2


def test_runs_at_one_time_have_a_process_each(make_bench: Any) -> None:
    bench = make_bench(idle_max=2)
    started = [bench.start("tame:nap", {"seconds": 0.2}) for _ in range(4)]
    assert {one.outcome().kind for one in started} == {Kind.OK}
    bench.run("tame:nothing")
    assert bench.runner.stats.forked == 4
    assert bench.runner.stats.warm <= 2


def test_surplus_warm_processes_leave(make_bench: Any, wait_until: Any) -> None:
    bench = make_bench(idle_max=1)
    started = [bench.start("tame:nap", {"seconds": 0.1}) for _ in range(3)]
    [one.outcome() for one in started]
    wait_until(lambda: bench.runner.stats == (1, 0, 0, 3))
    assert len(bench.pids) == 1


def test_a_fresh_run_is_alone_and_its_variables_leave_with_it(bench: Any) -> None:
    warm = pid_of(bench)
    assert pid_of(bench, fresh=True) != warm
    seen = json.loads(bench.run("tame:environment", env={"CUDA_VISIBLE_DEVICES": "GPU-1"}).result)
    assert seen["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    assert "CUDA_VISIBLE_DEVICES" not in json.loads(bench.run("tame:environment").result)
    assert pid_of(bench) == warm


def test_children_see_no_variable_that_was_not_passed(make_bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    monkeypatch.setenv("LC_TIME", "C.UTF-8")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    seen = json.loads(make_bench(env={"NAMED": "yes"}).run("tame:environment").result)
    assert "DATABASE_PASSWORD" not in seen
    assert (seen["LC_TIME"], seen["https_proxy"], seen["NAMED"]) == ("C.UTF-8", "http://proxy:3128", "yes")
    assert (seen["PATH"], seen["PYTHONPATH"]) == (os.environ["PATH"], "/somewhere")


@pytest.mark.parametrize(
    "what",
    [
        *("cwd", "umask", "environment", "path", "handler", "alarm", "mask", "logging", "log_handler", "locale", "timeout"),
        *("stdout", "closed", "recursion", "gone"),
    ],
)
def test_a_process_that_was_changed_is_not_used_again(bench: Any, what: str, tmp_path: Path) -> None:
    outcome = bench.run("hostile:change", {"what": what, "value": str(tmp_path)})
    assert outcome.kind is Kind.OK
    assert pid_of(bench) != int(outcome.result)


def test_a_process_that_grew_is_not_used_again(bench: Any) -> None:
    assert pid_of(bench) == int(bench.run("hostile:grow", {"mib": 100}).result)
    grown = int(bench.run("hostile:grow", {"mib": 300}).result)
    assert pid_of(bench) != grown


def test_an_exit_or_an_exception_does_not_cost_the_process(bench: Any) -> None:
    pid = pid_of(bench)
    bench.run("hostile:exit_with", {"code": 1})
    bench.run("hostile:raise_named", {"name": "interrupt"})
    assert pid_of(bench) == pid


def test_a_daemon_thread_left_behind_costs_the_process(bench: Any) -> None:
    pid = pid_of(bench)
    started = bench.start("hostile:thread_left", {"seconds": 600, "daemon": True})
    assert started.outcome().result == '"done"'
    assert started.took_s < 0.6
    assert pid_of(bench) != pid


def test_a_thread_left_behind_has_a_moment_to_end(bench: Any, tmp_path: Path) -> None:
    assert bench.run("hostile:thread_writes", {"path": str(tmp_path / "late")}).kind is Kind.OK
    assert (tmp_path / "late").exists()


def test_a_thread_that_does_not_end_is_killed_and_the_result_counts(bench: Any) -> None:
    started = bench.start("hostile:thread_left", {"seconds": 600})
    outcome = started.outcome()
    assert (outcome.kind, outcome.result) == (Kind.OK, '"done"')
    assert 0.6 <= started.took_s < 1.6
    assert outcome.duration_ms < 600


def test_exit_handlers_run_when_a_process_leaves(bench: Any, tmp_path: Path) -> None:
    bench.run("tame:at_exit", {"path": str(tmp_path / "left")}, fresh=True)
    assert (tmp_path / "left").exists()


def test_after_a_change_of_plugins_no_old_process_is_used(make_bench: Any, wait_until: Any) -> None:
    bench = make_bench()
    old = {pid_of(bench)}
    busy = bench.start("tame:nap", {"seconds": 0.3})
    bench.runner.retire()
    assert pid_of(bench) not in old
    assert busy.outcome().kind is Kind.OK
    wait_until(lambda: bench.runner.stats.leaving == 0)
    assert bench.runner.stats.warm == 1


def test_a_process_that_dies_idle_costs_no_run(make_bench: Any) -> None:
    """Stopped, so that it cannot read its next Run, then killed: the Run begins anew in another."""
    bench = make_bench()
    pid = pid_of(bench)
    os.kill(pid, signal.SIGSTOP)
    started = bench.start("tame:pid")
    bench.start("tame:nothing").outcome()  # by now the first one is in the stopped child's socket
    os.kill(pid, signal.SIGKILL)
    assert started.outcome().kind is Kind.OK
    assert int(started.outcome().result) != pid


def test_a_process_that_does_not_take_its_next_run_costs_no_run(make_bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.worker.process_slot._SEND_S", 0.3)
    bench = make_bench()
    os.kill(pid_of(bench), signal.SIGSTOP)
    assert bench.run("tame:size", {"values": ["x" * 1000] * 1000}).result == "1000"


def test_an_idle_process_that_is_killed_is_replaced(make_bench: Any, wait_until: Any) -> None:
    bench = make_bench()
    pid = pid_of(bench)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(pid))
    assert pid_of(bench) != pid
    wait_until(lambda: bench.runner.children == 1)


def test_no_zombies_and_no_descriptors_are_left_by_many_fresh_runs(make_bench: Any, wait_until: Any) -> None:
    bench = make_bench(measured=False)
    bench.run("tame:nothing", fresh=True)
    files = psutil.Process().num_fds() + bench.server.num_fds()
    left = [bench.start("tame:nothing", fresh=True) for _ in range(300)]
    assert {started.outcome(60).kind for started in left} == {Kind.OK}
    assert bench.server.children() == []
    wait_until(lambda: psutil.Process().num_fds() + bench.server.num_fds() <= files)
