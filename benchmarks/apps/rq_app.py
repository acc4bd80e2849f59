"""rq without results."""

import os

import noop
import redis
from rq import Queue

CHUNK = 1000
OPTIONS = {"result_ttl": 0, "failure_ttl": 60}

queue = Queue("q", connection=redis.Redis.from_url(os.environ["BENCH_URL"]))


def tick() -> None:
    noop.tick()


def late(sent: float) -> None:
    noop.latency(sent)


def one(number: int) -> None:
    for _ in range(number):
        queue.enqueue(tick, **OPTIONS)


def bulk(number: int) -> None:
    for start in range(0, number, CHUNK):
        queue.enqueue_many([Queue.prepare_data(tick, **OPTIONS) for _ in range(min(CHUNK, number - start))])


def latency(sent: float) -> None:
    queue.enqueue(late, sent, **OPTIONS)
