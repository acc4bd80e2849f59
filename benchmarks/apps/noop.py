"""The task body of every Python system here: count in memory, let a daemon thread publish; one file, so that all pay the same for it."""

import os
import threading
import time

import redis

FLUSH_S = 0.02


class Publisher:
    """The counters of one process. `last` is when its newest no-op ran; latencies are seconds, as text."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.count = 0
        self.last = 0.0
        self.latencies: list[str] = []
        self._published = 0
        self._server = redis.Redis.from_url(os.environ["BENCH_STATS_URL"])
        self._server.rpush("first", repr(time.time()))
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(FLUSH_S)
            if self.count > self._published:
                self._publish_count()
            if self.latencies:
                self._publish_latencies()

    def _publish_count(self) -> None:
        count, last = self.count, self.last
        pipeline = self._server.pipeline(transaction=False)
        pipeline.hset("last", str(self.pid), repr(last))
        pipeline.incrby("done", count - self._published)
        pipeline.execute()
        self._published = count

    def _publish_latencies(self) -> None:
        number = len(self.latencies)
        out = self.latencies[:number]
        del self.latencies[:number]
        pipeline = self._server.pipeline(transaction=False)
        pipeline.rpush("latencies", *out)
        pipeline.incrby("done", number)
        pipeline.execute()


_publisher: Publisher | None = None
_lock = threading.Lock()


def _mine() -> Publisher:
    """This process's publisher: made at its first task, and again after a fork."""
    global _publisher  # noqa: PLW0603  one per process is the point
    with _lock:
        if _publisher is None or _publisher.pid != os.getpid():
            _publisher = Publisher()
        return _publisher


def tick() -> None:
    publisher = _publisher
    if publisher is None or publisher.pid != os.getpid():
        publisher = _mine()
    publisher.count += 1
    publisher.last = time.time()


def latency(since: float) -> None:
    """``since``: the epoch second from which to count."""
    now = time.time()
    publisher = _publisher
    if publisher is None or publisher.pid != os.getpid():
        publisher = _mine()
    publisher.latencies.append(repr(now - since))
