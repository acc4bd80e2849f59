"""T15: one instance loses the network for longer than its lease, while it works."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from scheduler.core.clock import monotonic, now_ms, sleep
from tests.faults.cluster import LEASE_S, Cluster, Instance, task, until
from tests.faults.effects import overlap_ms
from tests.faults.history import History
from tests.faults.proxy import Proxy

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]
TASKS: dict[str, Any] = {
    "thread": task("pulse"),
    "child": task("pulse", executor="processpool"),
    "coroutine": task("apulse"),
    "nap": task("nap"),
    "told": task("until_told"),
}
SLOTS = {"executors": {"default_threads": 3, "process_pool": 1, "async_slots": 1}}


def begun(cluster: Cluster) -> set[str]:
    return {effect.run for effect in cluster.effects() if effect.phase == "start"}


def back_at_work(cluster: Cluster, instance: Instance, since_ms: int) -> int:
    """How long (ms) after ``since_ms`` this instance claimed something again."""

    def claimed() -> int:
        cluster.center.submit_many([("nap", {"seconds": 0.3})] * 20)
        events = cluster.history().events
        return next((e.ms for e in events if e.type == "running" and e.ms > since_ms and e.worker.startswith(instance.id)), 0)

    return until(claimed, 15, "it works again") - since_ms


def cut_and_open(cluster: Cluster, proxy: Proxy) -> tuple[int, int]:
    """Three leases without a network; when (ms) it went and came."""
    proxy.mode, hole_ms = "hole", now_ms()
    (cluster.folder / "enough").touch()
    sleep(3 * LEASE_S)
    proxy.mode = "pass"
    return hole_ms, now_ms()


def judged(cluster: Cluster, runs: list[str]) -> History:
    """The whole story, once all has ended well."""
    cluster.await_end(runs, 30)
    until(lambda: cluster.finished() == len(cluster.history().runs), 30, "all ends")
    history = cluster.history()
    history.check(runs)
    assert history.ended() == {"succeeded": len(history.runs)}
    return history


def last_sign_ms(history: History, runs: list[str], token: int) -> int:
    """When the last body of this round of claims was seen alive."""
    return max(effect.ms for effect in history.effects if effect.token == token and effect.run in runs)


def test_partition(clusters: Callable[..., Cluster], figures: Callable[[str], None]) -> None:
    """An instance loses the network for 3 leases: its Runs stop before others start them, its late words are refused, it comes back."""
    cluster = clusters(TASKS, scheduler=SLOTS)
    proxy = cluster.proxy()
    cut_off = cluster.instance("a", redis={"url": proxy.url}, worker={"processes": 2}).start()
    kinds = ["thread", "thread", "child", "child", "coroutine", "coroutine"]
    runs = cluster.center.submit_many([(kind, {"seconds": 8}) for kind in kinds] + ["told"])
    until(lambda: len(begun(cluster)) == 7, 15, "all have begun")
    cluster.instance("b", worker={"processes": 2}).start()
    hole_ms, open_ms = cut_and_open(cluster, proxy)
    back_ms = back_at_work(cluster, cut_off, open_ms)
    history = judged(cluster, runs)
    assert history.repeated() == set(runs), "what it said of their end came too late"
    last_ms = last_sign_ms(history, runs, 1) - hole_ms
    overlap = max(overlap_ms(history.effects, run) for run in runs)
    assert last_ms <= (LEASE_S - 1) * 1000 + 500
    assert overlap <= 1000
    assert back_ms <= 10_000
    figures(f"bodies dead {last_ms} ms after the cut (lease {LEASE_S} s), overlap ≤ {overlap} ms, back at work after {back_ms} ms")


def test_partition_of_a_new_worker(clusters: Callable[..., Cluster], figures: Callable[[str], None]) -> None:
    """The network goes when a worker has just claimed its first Runs: it is not trusted for longer than its lease either."""
    cluster = clusters(TASKS, scheduler=SLOTS)
    proxy = cluster.proxy()
    instance = cluster.instance("a", redis={"url": proxy.url}).start()
    first = instance.workers()
    runs = cluster.center.submit_many([("thread", {"seconds": 5})] * 3)
    until(lambda: len(begun(cluster)) == 3, 15, "all have begun")
    os.kill(*first.values(), signal.SIGKILL)
    until(lambda: sum(effect.phase == "start" for effect in cluster.effects()) == 6, 10, "its successor has claimed them")
    hole_ms, _ = cut_and_open(cluster, proxy)
    last_ms = last_sign_ms(judged(cluster, runs), runs, 2) - hole_ms
    assert last_ms <= (LEASE_S - 1) * 1000 + 500
    figures(f"bodies dead {last_ms} ms after the cut (lease {LEASE_S} s)")


@pytest.mark.parametrize("slots", [4, 1], ids=["slots-free", "slots-full"])
def test_sleeping_supervisor(clusters: Callable[..., Cluster], figures: Callable[[str], None], slots: int) -> None:
    """A supervisor alone is stopped, its workers are not: they end with their lease, before their Runs start elsewhere."""
    cluster = clusters(TASKS, scheduler={"executors": {"default_threads": slots, "process_pool": slots, "async_slots": slots}})
    sleeper = cluster.instance("a").start()
    kinds = ["thread", "child", "coroutine"]
    runs = cluster.center.submit_many([(kind, {"seconds": 8}) for kind in kinds])
    until(lambda: len(begun(cluster)) == 3, 15, "all have begun")
    cluster.instance("b").start()
    sleeper.signal(signal.SIGSTOP)
    until(lambda: sum(effect.phase == "start" for effect in cluster.effects()) == 6, 3 * LEASE_S, "all start elsewhere")
    sleeper.signal(signal.SIGCONT)
    history = judged(cluster, runs)
    overlap = max(overlap_ms(history.effects, run) for run in runs)
    assert overlap <= 1000
    figures(f"overlap ≤ {overlap} ms")


def test_slow_store(clusters: Callable[..., Cluster], figures: Callable[[str], None]) -> None:
    """A store that takes 0.6 s for each answer costs no worker its lease."""
    cluster = clusters(TASKS, scheduler=SLOTS, worker={"lease": 6})
    proxy = cluster.proxy()
    cluster.instance("a", redis={"url": proxy.url}).start()
    runs = [cluster.center.submit("thread", {"seconds": 10})]
    until(lambda: begun(cluster), 15, "it has begun")
    proxy.delay_s = 0.6
    [run] = cluster.await_end(runs, 30)
    assert (run.state, run.claims, run.losses) == ("succeeded", 1, 0)
    figures("a Run of 10 s, claimed once")


def test_vanished_server(clusters: Callable[..., Cluster], figures: Callable[[str], None]) -> None:
    """All connections go dead without a word (a failover behind one address): within 10 s all work on, as promptly as before."""
    cluster = clusters(TASKS, scheduler=SLOTS, worker={"lease": 15})
    proxy = cluster.proxy()
    cluster.instance("a", redis={"url": proxy.url}).start()
    delays = []
    for round_number in range(4):
        began = monotonic()
        cluster.await_end([cluster.center.submit("nap", {"seconds": 0.01})], 20)
        delays.append(monotonic() - began)
        if round_number == 0:
            proxy.vanish()
    cluster.history().check()
    assert delays[1] <= 10
    assert max(delays[2:]) < 0.5
    figures(f"first Run after {delays[1]:.1f} s, the next ones after {max(delays[2:]) * 1000:.0f} ms")


def test_lease_of_a_second(clusters: Callable[..., Cluster], figures: Callable[[str], None]) -> None:
    """A lease may be as short as a second: work that lasts longer keeps its worker."""
    cluster = clusters(TASKS, scheduler=SLOTS, worker={"lease": 1})
    cluster.instance("a").start()
    runs = cluster.await_end(cluster.center.submit_many([("nap", {"seconds": 3})] * 3), 10)
    assert [(run.state, run.claims) for run in runs] == [("succeeded", 1)] * 3
    figures("3 Runs of 3 s, each claimed once")
