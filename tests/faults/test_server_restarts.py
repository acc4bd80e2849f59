"""T11: the server of the store is killed again and again, under load."""

import threading
from collections.abc import Callable, Sequence
from itertools import count

import pytest

from scheduler.core.clock import now_ms, sleep
from tests.faults.cluster import LEASE_S, Cluster
from tests.faults.load import SLOTS, TASKS, close_the_books, requests, submit_until_told

pytestmark = [pytest.mark.faults, pytest.mark.timeout(200)]
KILLS = 10


class Submitter(threading.Thread):
    """Keeps some work waiting at all times; remembers every id that the store has acknowledged."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(daemon=True)
        self.acknowledged: list[str] = []
        self.stopping = threading.Event()
        self._cluster = cluster

    def run(self) -> None:
        for n in count():
            if self.stopping.wait(0.25):
                return
            batch = requests(20, 0.3, f"r{n}-")
            self.acknowledged += submit_until_told(self._cluster.center, batch, within_s=30)


def kill_the_server(cluster: Cluster) -> list[int]:
    """The instants (ms) at which it answered again."""
    back = []
    for _ in range(KILLS):
        sleep(3)
        cluster.server.kill()
        sleep(0.5)
        cluster.server.start()
        back.append(now_ms())
    return back


def idle_after(back: Sequence[int], starts: Sequence[int]) -> list[int]:
    """How long (ms) after each return of the server the first Run was claimed."""
    return [next(ms for ms in starts if ms >= instant) - instant for instant in back]


def test_server_is_killed(clusters: Callable[..., Cluster], figures: Callable[[str], None]) -> None:
    """SIGKILL and restart of the server, ten times (AOF everysec): no acknowledged Run is lost, work goes on within 2 s."""
    cluster = clusters(TASKS, scheduler=SLOTS, worker={"processes": 2, "lease": 6})
    for name in "ab":
        cluster.instance(name).start()
    submitter = Submitter(cluster)
    submitter.start()
    back = kill_the_server(cluster)
    sleep(2)
    submitter.stopping.set()
    submitter.join(30)
    history = close_the_books(cluster, submitter.acknowledged, 60)
    idle = idle_after(back, [event.ms for event in history.events if event.type == "running"])
    assert max(idle) <= 2000
    assert not history.lost(), "an outage shorter than a lease costs nobody a worker"
    figures(f"{KILLS} kills, {len(submitter.acknowledged)} acknowledged Runs, 0 lost; work goes on after {min(idle)}–{max(idle)} ms")


def test_server_is_away_for_long(clusters: Callable[..., Cluster], figures: Callable[[str], None]) -> None:
    """The server is away for four leases: nobody gives up, work goes on within 2 s of its return."""
    cluster = clusters(TASKS, scheduler=SLOTS)
    for name in "ab":
        cluster.instance(name).start()
    runs = submit_until_told(cluster.center, requests(200, 0.3, "r"))
    sleep(1)
    cluster.server.kill()
    sleep(4 * LEASE_S)
    cluster.server.start()
    back = now_ms()
    history = close_the_books(cluster, runs, 60)
    idle = idle_after([back], [event.ms for event in history.events if event.type == "running"])
    assert max(idle) <= 2000
    figures(f"work goes on after {idle[0]} ms; {len(history.lost())} Runs lost a worker")
