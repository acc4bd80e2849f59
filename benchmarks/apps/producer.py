"""Submits on behalf of any Python system: `python -m producer APP one|bulk|latency N`, one line of JSON at the end."""

import asyncio
import importlib
import inspect
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

PERIOD_S = 0.02


async def settled(answer: Any) -> None:
    """Plain functions have done their work by now; async ones are awaited."""
    if inspect.isawaitable(answer):
        await answer


@asynccontextmanager
async def no_session() -> AsyncIterator[None]:
    yield


async def timed(app: ModuleType, mode: str, number: int) -> dict[str, float]:
    """After one submission that pays for connecting."""
    await settled(app.one(1))
    wall, cpu = time.perf_counter(), time.process_time()
    await settled(getattr(app, mode)(number))
    return {"n": number, "submitted": number + 1, "seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}


async def paced(app: ModuleType, number: int) -> dict[str, float]:
    due = time.time()
    for _ in range(number):
        due += PERIOD_S
        await asyncio.sleep(max(0.0, due - time.time()))
        await settled(app.latency(time.time()))
    return {"n": number, "submitted": number, "cpu_seconds": time.process_time()}


async def main(name: str, mode: str, number: int) -> None:
    app = importlib.import_module(name)
    async with getattr(app, "session", no_session)():
        print(json.dumps(await (paced(app, number) if mode == "latency" else timed(app, mode, number))))


def loop_runner() -> Any:
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


if __name__ == "__main__":
    loop_runner()(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
