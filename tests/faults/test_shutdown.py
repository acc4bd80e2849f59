"""T14: an instance is told to stop while it works."""

import signal
from collections.abc import Callable
from typing import Any

import pytest

from scheduler.core.clock import monotonic, now_ms, sleep
from scheduler.core.events import Event
from tests.faults.cluster import Cluster, Instance, crowded, task, until
from tests.faults.history import History

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]
GRACE_S = 5
TASKS: dict[str, Any] = {
    "thread": task("nap"),
    "child": task("nap", executor="processpool"),
    "coroutine": task("doze"),
    "polite_thread": task("polite"),
    "polite_child": task("polite", executor="processpool"),
    "polite_coroutine": task("apolite"),
}
SLOTS = {"executors": {"default_threads": 8, "process_pool": 4, "async_slots": 4}}
KINDS = ["thread", "thread", "child", "coroutine"]


def begin(cluster: Cluster, *durations_s: float) -> tuple[Instance, list[list[str]]]:
    """An instance at work on four Runs of each duration, and another one that is free."""
    instance = cluster.instance("a").start()
    runs = [cluster.center.submit_many([(kind, {"seconds": duration}) for kind in KINDS]) for duration in durations_s]
    count = 4 * len(durations_s)
    until(lambda: sum(effect.phase == "start" for effect in cluster.effects()) == count, 15, "all have begun")
    cluster.instance("b").start()
    return instance, runs


def returned(history: History, runs: list[str]) -> dict[str, Event]:
    return {run: next(event for event in history.runs[run] if event.type == "pending" and event.token) for run in runs}


def restarted_after_ms(history: History, back: dict[str, Event]) -> int:
    """The longest time between the return of a Run and its next claim."""
    return max(next(e.ms for e in history.runs[run] if e.type == "running" and e.token == 2) - event.ms for run, event in back.items())


def cancel_all(cluster: Cluster, runs: list[str]) -> None:
    for run in runs:
        cluster.center.cancel(run)
    cluster.await_end(runs, 15)


def test_sigterm(clusters: Callable[..., Cluster], figures: Callable[[str], None]) -> None:
    """SIGTERM with 8 Runs at work, grace 5 s: those of 2 s finish, those of 60 s go back within 7 s and run elsewhere, nothing is burnt."""
    cluster = clusters(TASKS, scheduler=SLOTS, worker={"shutdown_timeout": GRACE_S})
    instance, (short, long) = begin(cluster, 2, 60)
    instance.signal(signal.SIGTERM)
    began, began_ms = monotonic(), now_ms()
    assert instance.wait() == 0
    stopped_s = monotonic() - began
    assert [run.attempt for run in cluster.await_end(short, 1) if run.state == "succeeded"] == [1] * 4
    until(lambda: all((run := cluster.queue.get(r)) and run.claims == 2 for r in long), 3, "the long ones run elsewhere")
    assert [(run.attempt, run.losses) for r in long if (run := cluster.queue.get(r))] == [(1, 0)] * 4, "no attempt is burnt"
    cancel_all(cluster, long)
    history = cluster.history()
    history.check([*short, *long])
    back = returned(history, long)
    assert {event.reason for event in back.values()} == {"shutdown"}
    back_ms = max(event.ms for event in back.values()) - began_ms
    assert back_ms <= (GRACE_S + 2) * 1000
    again_ms = restarted_after_ms(history, back)
    assert again_ms <= 1000
    figures(f"exit 0 after {stopped_s:.1f} s; long ones back after {back_ms} ms, at work elsewhere {again_ms} ms later")


def test_sigterm_with_polite_runs(clusters: Callable[..., Cluster], figures: Callable[[str], None]) -> None:
    """Code that looks at should_stop() goes back at once, in a thread, a process or a coroutine: nobody waits for the grace."""
    cluster = clusters(TASKS, scheduler=SLOTS, worker={"shutdown_timeout": 30})
    instance = cluster.instance("a").start()
    runs = cluster.center.submit_many(["polite_thread", "polite_child", "polite_coroutine"])
    until(lambda: sum(effect.phase == "start" for effect in cluster.effects()) == 3, 15, "all have begun")
    cluster.instance("b").start()
    began = monotonic()
    instance.signal(signal.SIGTERM)
    assert instance.wait() == 0
    stopped_s = monotonic() - began
    until(lambda: all((run := cluster.queue.get(r)) and run.claims == 2 for r in runs), 3, "they run elsewhere")
    cancel_all(cluster, runs)
    history = cluster.history()
    history.check(runs)
    assert {event.reason for event in returned(history, runs).values()} == {"shutdown"}
    assert stopped_s < crowded(2)
    figures(f"exit 0 after {stopped_s:.1f} s")


def test_second_sigterm(clusters: Callable[..., Cluster], figures: Callable[[str], None]) -> None:
    """A second SIGTERM means now: everything is killed and free for others within a second."""
    cluster = clusters(TASKS, scheduler=SLOTS, worker={"shutdown_timeout": 60})
    instance, (runs,) = begin(cluster, 60)
    instance.signal(signal.SIGTERM)
    sleep(0.5)  # two signals at one time are one
    began_ms = now_ms()
    instance.signal(signal.SIGTERM)
    instance.wait()
    until(lambda: all((run := cluster.queue.get(r)) and run.claims == 2 for r in runs), 5, "they run elsewhere")
    cancel_all(cluster, runs)
    history = cluster.history()
    history.check(runs)
    back_ms = max(event.ms for event in returned(history, runs).values()) - began_ms
    assert back_ms <= 1000
    figures(f"all Runs back after {back_ms} ms")
