"""T04: workers killed, instances asleep beyond their lease, the server killed, replies lost: all at one time."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Self

import psutil
import pytest

from scheduler.center import SchedulerCenter
from scheduler.core.clock import now_ms, sleep
from tests.faults.cluster import LEASE_S, Cluster, Instance, until
from tests.faults.load import SLOTS, TASKS, close_the_books, requests, submit_until_told

pytestmark = [pytest.mark.faults, pytest.mark.timeout(200)]
RUNS = 3000


class Chaos:
    """Does harm in three threads until it is stopped."""

    def __init__(self, cluster: Cluster, instances: list[Instance]) -> None:
        self.done: Counter[str] = Counter()
        self.stopping = threading.Event()
        self._cluster = cluster
        self._instances = instances
        self._random = Random(5)
        self._up = threading.Lock()  # nobody looks for victims while the server is away
        self._threads = [threading.Thread(target=self._again, args=harm) for harm in ((self.kill, 2), (self.freeze, 5), (self.restart, 6))]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join()

    def _again(self, harm: Callable[[], None], every_s: float) -> None:
        while not self.stopping.wait(every_s):
            harm()
            self.done[harm.__name__] += 1

    def kill(self) -> None:
        """A worker."""
        with self._up:
            victims = [pid for instance in self._instances for pid in instance.workers().values()]
        with suppress(ProcessLookupError):
            os.kill(self._random.choice(victims or [0x7FFFFFFF]), signal.SIGKILL)

    def freeze(self) -> None:
        """An instance and all that belongs to it, for longer than its lease."""
        instance = self._random.choice(self._instances)
        victims = [psutil.Process(instance.pid), *psutil.Process(instance.pid).children(recursive=True)]
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for victim in victims:
                with suppress(psutil.NoSuchProcess):
                    victim.send_signal(number)
            if number == signal.SIGSTOP:
                sleep(LEASE_S + 1)

    def restart(self) -> None:
        """The server."""
        with self._up:
            self._cluster.server.kill()
            sleep(0.3)
            self._cluster.server.start()


def test_all_at_once(clusters: Callable[..., Cluster], figures: Callable[[str], None]) -> None:
    """Kills, sleeps beyond the lease, restarts of the server and lost replies at one time: nothing lost, nothing doubled, all ends."""
    cluster = clusters(TASKS, scheduler=SLOTS)
    proxy = cluster.proxy()
    instances = [cluster.instance(name, redis={"url": proxy.url}, worker={"processes": 2}).start() for name in "ab"]
    client = SchedulerCenter(cluster.settings_file("proxied", redis={"url": proxy.url}))
    proxy.lose = 0.01
    began_ms = now_ms()
    with Chaos(cluster, instances) as chaos:
        runs = [run for n in range(RUNS // 20) for run in submit_until_told(client, requests(20, 0.6, f"r{n}-"), 60)]
        until(lambda: _finished(cluster) >= RUNS or chaos.stopping.wait(0.2), 120, "all Runs end")
    proxy.lose = 0.0
    took_s = (now_ms() - began_ms) / 1000
    client.shutdown()
    history = close_the_books(cluster, runs, 60)
    figures(
        f"{took_s:.0f} s with {dict(chaos.done)} and {proxy.lost} lost replies; {len(history.lost())} returns of lost Runs, "
        f"{len(history.repeated())} Runs began more than once, each with its reason"
    )


def _finished(cluster: Cluster) -> int:
    try:
        return cluster.finished()
    except Exception:
        return 0
