"""taskiq over a list (no acknowledgement) or a stream, without results."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import noop
from taskiq_redis import ListQueueBroker, RedisStreamBroker

URL = os.environ["BENCH_URL"]
TOGETHER = 50

broker = (
    ListQueueBroker(url=URL, queue_name="list")
    if os.environ["TASKIQ_BROKER"] == "list"
    else RedisStreamBroker(url=URL, queue_name="stream", xread_count=500, consumer_id="0", maxlen=None)
)


@broker.task(task_name="tick")
async def tick() -> None:
    noop.tick()


@broker.task(task_name="late")
async def late(sent: float) -> None:
    noop.latency(sent)


@asynccontextmanager
async def session() -> AsyncIterator[None]:
    await broker.startup()
    yield
    await broker.shutdown()


async def one(number: int) -> None:
    for _ in range(number):
        await tick.kiq()


async def bulk(number: int) -> None:
    for start in range(0, number, TOGETHER):
        await asyncio.gather(*(tick.kiq() for _ in range(min(TOGETHER, number - start))))


async def latency(sent: float) -> None:
    await late.kiq(sent)
