"""T01: workers and whole instances are killed at random, under load."""

import os
import signal
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from scheduler.core.clock import monotonic, now_ms, sleep
from tests.faults.cluster import LEASE_S, Cluster, Instance, task
from tests.faults.history import History

pytestmark = [pytest.mark.faults, pytest.mark.timeout(200)]
SLOTS = {"executors": {"default_threads": 4, "process_pool": 1, "async_slots": 4}}


def submit_naps(cluster: Cluster, count: int, longest_s: float, random: Random) -> list[str]:
    kinds = ["nap"] * 7 + ["doze"] * 2 + ["child"]
    return cluster.center.submit_many([(kinds[n % 10], {"seconds": round(random.uniform(0.05, longest_s), 3)}) for n in range(count)])


def rescue_ms(history: History, killed: dict[str, int]) -> list[int]:
    """How long after the kill of its worker each lost Run was free again."""
    return [event.ms - killed[event.worker] for event in history.lost() if event.worker in killed]


def settle_down(cluster: Cluster, runs: Sequence[str], killed: dict[str, int]) -> History:
    cluster.await_end(runs, 60)
    history = cluster.history()
    history.check(runs)
    assert history.ended() == {"succeeded": len(runs)}
    assert {event.worker for event in history.lost()} <= set(killed), "only killed workers lose Runs"
    assert history.repeated() <= {event.subject for event in history.lost()}, "only what a killed worker held may run again"
    return history


def test_workers_are_killed(clusters: Callable[..., Cluster], figures: Callable[[str], None]) -> None:
    """kill -9 a random worker every 2 s: nothing is lost, nothing ends twice, its Runs are free again within 1 s."""
    random = Random(1)
    cluster = clusters({"nap": task("nap"), "doze": task("doze"), "child": task("nap", executor="processpool")}, scheduler=SLOTS)
    instance = cluster.instance("a", worker={"processes": 4}).start()
    runs = submit_naps(cluster, 2000, 0.4, random)
    began, killed = monotonic(), dict[str, int]()
    while cluster.finished() < len(runs):
        sleep(2)
        if not (workers := instance.workers()):
            continue
        name, pid = random.choice(sorted(workers.items()))
        os.kill(pid, signal.SIGKILL)
        killed[name] = now_ms()
    took_s = monotonic() - began
    history = settle_down(cluster, runs, killed)
    rescues = rescue_ms(history, killed)
    assert len(killed) > 8
    assert rescues
    assert max(rescues) <= 1000
    figures(f"{len(killed)} kills in {took_s:.0f} s, {len(rescues)} Runs lost and rescued in {min(rescues)}–{max(rescues)} ms")


def restart_at_random(cluster: Cluster, instances: Sequence[Instance], runs: Sequence[str], random: Random) -> dict[str, int]:
    killed: dict[str, int] = {}
    while cluster.finished() < len(runs):
        instance = random.choice(instances)
        instance.await_ready()
        names = list(instance.workers())
        instance.kill()
        killed |= dict.fromkeys(names, now_ms())
        sleep(0.5)
        instance.start(wait=False)
        sleep(LEASE_S)
    return killed


def test_instances_are_killed(clusters: Callable[..., Cluster], figures: Callable[[str], None]) -> None:
    """A whole instance of two dies every few seconds, supervisor and workers at once: rescue within a lease and 1 s."""
    random = Random(2)
    tasks: dict[str, Any] = {"nap": task("nap"), "doze": task("doze"), "child": task("nap", executor="processpool")}
    cluster = clusters(tasks, scheduler=SLOTS)
    instances = [cluster.instance(name, worker={"processes": 2}).start() for name in "ab"]
    runs = submit_naps(cluster, 1200, 0.5, random)
    sleep(1)
    killed = restart_at_random(cluster, instances, runs, random)
    for instance in instances:
        instance.await_ready()
    rescues = rescue_ms(settle_down(cluster, runs, killed), killed)
    assert rescues
    assert max(rescues) <= LEASE_S * 1000 + 1000
    figures(
        f"{len(killed)} workers of {len(killed) // 2} instances killed, {len(rescues)} Runs rescued in {min(rescues)}–{max(rescues)} ms"
    )
