"""huey without results."""

import os

import noop
from huey import RedisHuey

huey = RedisHuey("q", results=False, url=os.environ["BENCH_URL"])


@huey.task()
def tick() -> None:
    noop.tick()


@huey.task()
def late(sent: float) -> None:
    noop.latency(sent)


def one(number: int) -> None:
    for _ in range(number):
        tick()


def latency(sent: float) -> None:
    late(sent)
