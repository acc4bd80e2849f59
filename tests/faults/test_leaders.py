"""T06 and T07: leaders that stop, die, or lose their lock while they lead."""

import signal
from collections.abc import Callable
from typing import Any

import pytest

from scheduler.core.clock import monotonic, now_ms, sleep
from scheduler.core.ids import fire_id
from scheduler.core.run import Fire, Submission
from scheduler.queue import ScheduleBook
from tests.faults.cluster import LEADER_LEASE_S, Cluster, Instance, task, until
from tests.faults.history import History

pytestmark = [pytest.mark.faults, pytest.mark.timeout(200)]


def ticks(count: int) -> dict[str, Any]:
    return {f"tick{n:02}": task("nothing", trigger="interval", args={"seconds": 1}, max_instances=10_000) for n in range(count)}


def lead(cluster: Cluster) -> dict[str, str]:
    return cluster.queue.client.hgetall(f"{cluster.queue.prefix}lead")


def leader(cluster: Cluster, instances: list[Instance]) -> Instance:
    return until(lambda: next((i for i in instances if i.alive() and i.id == lead(cluster).get("id")), None), 5, "somebody leads")


def takeover_s(cluster: Cluster, old: Instance) -> float:
    """From now until another leads."""
    began = monotonic()
    until(lambda: lead(cluster)["id"] != old.id, 10, "another leads")
    return monotonic() - began


def stale_word(cluster: Cluster, epoch: int) -> list[str]:
    """What a leader of that epoch would hear if it went on."""
    instant = now_ms() // 1000 * 1000
    run = Submission(id=fire_id("tick00", instant + 7), task="tick00")
    return ScheduleBook(cluster.queue).fire(epoch, [Fire("tick00", instant + 7, 0, 0, run, "allow", 9)])


def no_instant_missing(cluster: Cluster, count: int) -> History:
    """All schedules fired each second exactly once, from their first to their last; everything has ended."""
    for n in range(count):
        cluster.queue.pause("schedule", f"tick{n:02}")
    cluster.await_end(list(cluster.history().runs), 30)
    history = cluster.history()
    history.check()
    assert [event for event in history.events if event.type in {"missed", "skipped"}] == []
    for n in range(count):
        fired = history.fired(f"tick{n:02}")
        assert len(fired) == len(set(fired)), "an instant fired twice"
        assert sorted(fired) == list(range(min(fired), min(fired) + 1000 * len(fired), 1000)), "an instant is missing"
    return history


def test_leaders_stop_and_die(clusters: Callable[..., Cluster], figures: Callable[[str], None]) -> None:
    """The leader of three sleeps for 3 leases or dies, five times: another leads within a lease and 0.5 s, each instant fires once."""
    cluster = clusters(ticks(1))
    instances = [cluster.instance(name, roles=("timer", "worker") if name == "a" else ("timer",)) for name in "abc"]
    for instance in instances:
        instance.start()
    gaps, refused = [], 0
    for number in (signal.SIGSTOP, signal.SIGKILL) * 2 + (signal.SIGSTOP,):
        sleep(2.2)
        old, epoch = leader(cluster, instances), int(lead(cluster)["epoch"])
        old.signal(number)
        gaps.append(takeover_s(cluster, old))
        refused += stale_word(cluster, epoch) == ["stale"]
        if number == signal.SIGSTOP:
            sleep(3 * LEADER_LEASE_S - gaps[-1])
            old.signal(signal.SIGCONT)
        else:
            old.wait()
            old.start()
    sleep(3)
    history = no_instant_missing(cluster, 1)
    assert refused == 5
    assert max(gaps) <= LEADER_LEASE_S + 0.5
    fired = len(history.fired("tick00"))
    figures(f"takeover {min(gaps):.2f}–{max(gaps):.2f} s (lease {LEADER_LEASE_S} s), {fired} instants, 5 of 5 stale words refused")


def test_leaders_fight(clusters: Callable[..., Cluster], figures: Callable[[str], None]) -> None:
    """The lock is deleted every half second for 30 s under 20 fires a second: whoever believes to lead, no instant becomes two Runs."""
    cluster = clusters(ticks(20))
    for name in "abc":
        cluster.instance(name, roles=("timer", "worker") if name == "a" else ("timer",)).start()
    epochs = set()
    end = monotonic() + 30
    while monotonic() < end:
        sleep(0.5)
        epochs.add(lead(cluster).get("epoch"))
        cluster.queue.client.delete(f"{cluster.queue.prefix}lead")
    sleep(4)
    history = no_instant_missing(cluster, 20)
    instants = sum(len(history.fired(f"tick{n:02}")) for n in range(20))
    assert len(epochs) > 20
    assert instants > 20 * 30
    figures(f"{len(epochs)} epochs, {instants} instants, 0 twice, 0 missing")
