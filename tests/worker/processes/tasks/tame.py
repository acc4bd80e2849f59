"""Runs that behave."""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from scheduler.core.clock import sleep
from scheduler.core.context import current_attempt
from scheduler.core.errors import GateClosedError, PluginError
from scheduler.worker.context import current_run, should_stop


def nothing() -> None:
    pass


def pid() -> int:
    return os.getpid()


def echo(**values: Any) -> Any:
    return values


def nap(seconds: float) -> str:
    sleep(seconds)
    return "slept"


def hold(begun: str, released: str) -> None:
    Path(begun).touch()
    try:
        sleep(60)
    finally:
        Path(released).touch()


async def hold_as_coroutine(begun: str, released: str) -> None:
    import asyncio

    with open(begun, "x"):  # noqa: ASYNC230, PTH123 - nothing else runs in this loop
        pass
    try:
        await asyncio.sleep(60)
    finally:
        os.mkdir(released)  # noqa: PTH102 - as above


async def coroutine() -> str:
    import asyncio

    await asyncio.sleep(0.001)
    return current_run().id


def context() -> dict[str, Any]:
    run = current_run()
    return {
        "id": run.id,
        "task": run.task,
        "attempt": run.attempt,
        "token": run.token,
        "gpu": run.gpu,
        "stop": should_stop(),
        "of": current_attempt.get(),
    }


def environment() -> dict[str, str]:
    return dict(os.environ)


def talk(lines: int) -> None:
    for number in range(lines):
        sys.stdout.write(f"line {number}\n")
    sys.stderr.write("to stderr\n")
    logging.getLogger("mine").info("a record")
    current_run().log.info("for the run")


def progress(steps: int) -> None:
    for step in range(steps + 1):
        current_run().progress(100 * step / steps, f"step {step}")


def until_told(path: str) -> str:
    """Works until it is asked to stop; ``path`` appears when it has begun."""
    Path(path).touch()
    while not should_stop():
        sleep(0.005)
    return "stopped in order"


def until_file(path: str, started: str) -> str:
    """Never looks whether it should stop; ends by itself when ``path`` appears."""
    Path(started).touch()
    while not Path(path).exists():
        sleep(0.005)
    return "finished by itself"


def touch_and_sleep(path: str, seconds: float = 600) -> None:
    Path(path).write_text(json.dumps(os.getpid()))
    sleep(seconds)


def gate() -> None:
    raise GateClosedError("gpu_busy", 1500)


def refused() -> None:
    raise PluginError("plugins/refused.py: no such thing")


def at_exit(path: str) -> None:
    import atexit

    atexit.register(Path(path).touch)


def size(values: list[str]) -> int:
    return len(values)


def talk_and_wait() -> None:
    sys.stdout.write("now\n")
    sleep(600)


def last_words() -> None:
    sys.stdout.write("last words\n")
    os._exit(1)
