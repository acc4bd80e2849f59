"""dramatiq with the Retries middleware alone."""

import os

import dramatiq
import noop
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Retries

broker = RedisBroker(url=os.environ["BENCH_URL"], middleware=[Retries()])
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="q")
def tick() -> None:
    noop.tick()


@dramatiq.actor(queue_name="q")
def late(sent: float) -> None:
    noop.latency(sent)


def one(number: int) -> None:
    for _ in range(number):
        tick.send()


def latency(sent: float) -> None:
    late.send(sent)
