"""T03: the server does what it is told, but the answer never arrives."""

from collections.abc import Callable

import pytest

from scheduler.center import SchedulerCenter
from tests.faults.cluster import LEASE_S, Cluster, until
from tests.faults.history import History
from tests.faults.load import SLOTS, TASKS, close_the_books, requests, submit_until_told

pytestmark = [pytest.mark.faults, pytest.mark.timeout(200)]


def longest_strand_s(history: History) -> float:
    """The longest time for which a Run was a worker's without its code having begun."""
    begun = {(effect.run, effect.token): effect.ms for effect in history.effects if effect.phase == "start"}
    waits = [begun[key] - e.ms for e in history.events if e.type == "running" and (key := (e.subject, e.token)) in begun]
    return max(waits) / 1000


def test_lost_replies(clusters: Callable[..., Cluster], figures: Callable[[str], None]) -> None:
    """2 % of all replies of the store are lost, to everybody: no duplicate, no second attempt, no Run stranded."""
    cluster = clusters(TASKS, scheduler=SLOTS)
    proxy = cluster.proxy()
    for name in "ab":
        cluster.instance(name, redis={"url": proxy.url}, worker={"processes": 2}).start()
    client = SchedulerCenter(cluster.settings_file("proxied", redis={"url": proxy.url}))
    proxy.lose = 0.02
    runs = [run for n in range(150) for run in submit_until_told(client, requests(20, 0.15, f"r{n}-"))]
    until(lambda: cluster.finished() >= len(runs), 90, "all Runs end")
    proxy.lose = 0.0
    client.shutdown()
    history = close_the_books(cluster, runs, 20)
    assert proxy.lost > 100
    assert not history.repeated() - {event.subject for event in history.lost()}, "nothing ran twice but what was lost with a worker"
    strand_s = longest_strand_s(history)
    assert strand_s <= LEASE_S
    twice = len(history.repeated())
    figures(f"{proxy.lost} replies lost, {len(history.lost())} Runs lost a worker, {twice} began twice, strand ≤ {strand_s:.2f} s")
