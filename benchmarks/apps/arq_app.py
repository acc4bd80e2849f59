"""arq without results, looking every 10 ms and for more Runs at a time than it does by itself."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import noop
import uvloop
from arq import create_pool, func
from arq.connections import ArqRedis, RedisSettings

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
URL = os.environ["BENCH_URL"]
TOGETHER = 50

settings = RedisSettings(unix_socket_path=URL.removeprefix("unix://")) if URL.startswith("unix:") else RedisSettings.from_dsn(URL)
pool: list[ArqRedis] = []


async def tick(_context: dict[str, Any]) -> None:
    noop.tick()


async def late(_context: dict[str, Any], sent: float) -> None:
    noop.latency(sent)


class WorkerSettings:
    """Read by the arq command."""

    functions = (func(tick, keep_result=0), func(late, keep_result=0))
    redis_settings = settings
    max_jobs = 50
    poll_delay = 0.01
    queue_read_limit = 100
    keep_result = 0
    log_results = False


@asynccontextmanager
async def session() -> AsyncIterator[None]:
    pool.append(await create_pool(settings))
    yield
    await pool.pop().aclose()


async def one(number: int) -> None:
    for _ in range(number):
        await pool[0].enqueue_job("tick")


async def bulk(number: int) -> None:
    for start in range(0, number, TOGETHER):
        await asyncio.gather(*(pool[0].enqueue_job("tick") for _ in range(min(TOGETHER, number - start))))


async def latency(sent: float) -> None:
    await pool[0].enqueue_job("late", sent)
