"""T03: the server does what it is told, but the answer never arrives."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from scheduler.center import SchedulerCenter
from tests.faults.cluster import LEASE_S, Cluster, until
from tests.faults.history import History
from tests.faults.load import SLOTS, TASKS, close_the_books, requests, submit_until_told

pytestmark = [pytest.mark.faults, pytest.mark.timeout(200)]


def longest_strand_s(history: History) -> float:
    """The longest time for which a Run was a worker's without its code having begun, or until it went back."""
    begun = {(effect.run, effect.token): effect.ms for effect in history.effects if effect.phase == "start"}
    pairs = [pair for events in history.runs.values() for pair in pairwise(events) if pair[0].type == "running"]
    return max(begun.get((claim.subject, claim.token), following.ms) - claim.ms for claim, following in pairs) / 1000


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
    assert not history.repeated(), "nothing ran twice"
    assert not history.lost(), "no worker died, so nothing was lost"
    strand_s = longest_strand_s(history)
    assert strand_s <= LEASE_S
    figures(f"{proxy.lost} replies lost; {len(runs)} Runs, 0 lost, 0 began twice; a claim waited at most {strand_s:.2f} s for its start")
