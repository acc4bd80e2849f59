"""T13: cancels that meet Runs around their end, and bodies that do not want to go."""

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from statistics import quantiles
from typing import Any

import pytest

from scheduler.core.clock import monotonic, now_ms, sleep
from tests.faults.cluster import Cluster, task, until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(200)]
TASKS: dict[str, Any] = {
    "thread": task("nap"),
    "child": task("nap", executor="processpool"),
    "coroutine": task("doze"),
    "pulse": task("pulse", executor="processpool"),
    "coroutine_pulse": task("apulse"),
    "stubborn": task("stubborn", executor="processpool"),
}
KINDS = ["thread"] * 5 + ["coroutine"] * 3 + ["child"] * 2
RUNS, BATCH = 2000, 20


def race(cluster: Cluster, random: Random) -> tuple[list[str], dict[str, str], list[float]]:
    """Submit all, cancel each some time around its end; the ids, the answers, and how long (ms) a cancel of a waiting Run took."""
    runs: list[str] = []
    due: list[tuple[float, str]] = []
    answers, waits = dict[str, str](), list[float]()
    while due or len(runs) < RUNS:
        if len(runs) < RUNS and len(due) < 2 * BATCH:
            duration_s = random.uniform(0.01, 0.08)
            new = cluster.center.submit_many([(random.choice(KINDS), {"seconds": duration_s}) for _ in range(BATCH)])
            runs += new
            for run in new:
                heappush(due, (monotonic() + random.uniform(0, 2.5 * duration_s), run))
        at, run = heappop(due)
        sleep(max(0.0, at - monotonic()))
        began = monotonic()
        answers[run] = cluster.queue.cancel(run, "race")
        if answers[run] == "cancelled":
            waits.append((monotonic() - began) * 1000)
    return runs, answers, waits


def test_cancel_race(clusters: Callable[..., Cluster], figures: Callable[[str], None]) -> None:
    """2,000 Runs are cancelled around their end: each has exactly one terminal state, and it is the true one."""
    cluster = clusters(TASKS, scheduler={"executors": {"default_threads": 6, "process_pool": 2, "async_slots": 6}})
    cluster.instance("a", worker={"processes": 2}).start()
    runs, answers, waits = race(cluster, Random(4))
    cluster.await_end(runs, 30)
    history = cluster.history()
    history.check(runs)
    ended = history.ended()
    assert set(ended) == {"succeeded", "cancelled"}
    assert min(ended.values()) > RUNS / 10
    finished = {effect.run for effect in history.effects if effect.phase == "end"}
    states = {run: cluster.state(run) for run in runs}
    assert not [run for run in finished if states[run] == "cancelled"], "what came to its end has succeeded"
    assert not [run for run, answer in answers.items() if answer == "cancelled" and states[run] != "cancelled"]
    assert not [run for run, answer in answers.items() if answer == "ended" and states[run] != "succeeded"]
    p95 = quantiles(waits, n=20)[-1]
    assert p95 < 50
    counts = Counter(answers.values())
    figures(f"answers {dict(counts)}; ended {dict(ended)}; cancel of a waiting Run p95 {p95:.1f} ms ({len(waits)} of them)")


def test_cancelled_bodies_die(clusters: Callable[..., Cluster], figures: Callable[[str], None]) -> None:
    """Cancelled bodies are dead within 2 s, those that ignore SIGTERM too."""
    cluster = clusters(TASKS, scheduler={"executors": {"process_pool": 8}})
    cluster.instance("a").start()
    kinds = ["pulse"] * 4 + ["stubborn"] * 4 + ["coroutine_pulse"] * 4
    runs = cluster.center.submit_many([(kind, {} if kind == "stubborn" else {"seconds": 60}) for kind in kinds])
    until(lambda: len({effect.run for effect in cluster.effects()}) == len(runs), 20, "all have begun")
    cancelled_ms = {run: now_ms() for run in runs if cluster.center.cancel(run)}
    assert {run.state for run in cluster.await_end(runs, 5)} == {"cancelled"}
    sleep(1)  # whoever still lives shows it
    history = cluster.history()
    history.check(runs)
    lives = [max(e.ms for e in history.effects if e.run == run) - cancelled_ms[run] for run in runs]
    assert max(lives) <= 2000
    figures(f"dead after ≤ {max(lives[:4])} ms (asked, TERM), {max(lives[4:8])} ms (KILL), {max(lives[8:])} ms (coroutines)")
