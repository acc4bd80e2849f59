"""Tasks that do what no task should: each kills, hangs, floods, lies or leaks in a way of its own."""

import asyncio
import ctypes
import gc
import math
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any, NoReturn

from scheduler.core.clock import monotonic, sleep


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop_self() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def segfault() -> None:
    ctypes.string_at(0)


def stack_overflow() -> None:
    """An endless recursion in C, which no limit of the interpreter stops."""
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    libc, items = ctypes.CDLL(None), (ctypes.c_int * 2)(2, 1)
    callback = compare(lambda _a, _b: libc.qsort(items, 2, 4, callback) or 0)
    sys.setrecursionlimit(10**9)
    threading.stack_size(0)
    libc.qsort(items, 2, 4, callback)


def abort() -> None:
    os.abort()


def exit_hard() -> None:
    os._exit(3)


def exit_softly() -> None:
    sys.exit(0)


def interrupt() -> None:
    raise KeyboardInterrupt


def generator_exit() -> None:
    raise GeneratorExit


def close_all_files() -> None:
    os.closerange(0, 4096)
    sleep(30)


def spin() -> None:
    while True:
        pass


def backtrack() -> None:
    re.match(r"(a+)+$", "a" * 64 + "b")


def sleep_in_c() -> None:
    """With the interpreter's lock held."""
    ctypes.PyDLL(None).sleep(30)


def sleep_long() -> None:
    sleep(20)


def ignore_term() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    spin()


def catch_everything() -> None:
    while True:
        with suppress(BaseException):
            sleep(30)


def double_fork() -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv("/bin/sleep", ["sleep", "600"])  # noqa: S606  the point
        os._exit(0)
    os.wait()


def leave_a_shell() -> None:
    """Whose child keeps our output open."""
    subprocess.run("sleep 600 & echo started", shell=True, check=True)  # noqa: S602, S607  the point


def leave_a_thread() -> None:
    threading.Thread(target=sleep, args=(600,)).start()


def leave_a_process() -> None:
    multiprocessing.get_context("spawn").Process(target=sleep, args=(600,)).start()


def fork_and_return() -> str:
    os.fork()
    return "one of two"


def flood() -> None:
    end, block = monotonic() + 2, b"y\n" * 32768
    while monotonic() < end:
        os.write(1, block)


def babble() -> None:
    os.write(1, bytes(range(256)) * 64 + b"\x1b[2J" + b"x" * 20_000_000)


def close_output() -> None:
    sys.stdout.close()
    sys.stderr.close()


def change_everything() -> None:
    os.chdir("/")
    os.umask(0)
    os.environ.clear()
    sys.path.clear()
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def return_lock() -> Any:
    return threading.Lock()


def return_nan() -> Any:
    return {"x": math.nan}


def return_circle() -> Any:
    circle: list[Any] = []
    circle.append(circle)
    return circle


def return_surrogate() -> Any:
    return "\ud800"


def return_much() -> Any:
    return ["x" * 1000] * 50_000


class TwoArguments(Exception):  # noqa: N818  a user's name
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)
        self.second = second


class Speechless(Exception):  # noqa: N818  its name is its story
    def __str__(self) -> NoReturn:
        raise RuntimeError("no words")

    __repr__ = __str__


def raise_two_arguments() -> None:
    raise TwoArguments("a", "b")


def raise_speechless() -> None:
    raise Speechless


def raise_much() -> None:
    raise ValueError("x" * 10_000_000)


def recurse() -> None:
    recurse()


def exhaust() -> Any:
    return bytearray(1 << 60)


def hog() -> None:
    hoard = []
    while True:
        hoard.append(bytearray(8 << 20))
        sleep(0.02)


async def swallow_cancel() -> None:
    end = monotonic() + 8
    while monotonic() < end:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(30)


async def block_the_loop() -> None:
    sleep(4)


async def hold_the_interpreter() -> None:
    sleep_in_c()


async def spin_in_the_loop() -> None:
    while True:
        pass


async def exit_the_loop() -> None:
    await asyncio.sleep(0.1)
    sys.exit(4)


async def interrupt_the_loop() -> None:
    await asyncio.sleep(0.1)
    raise KeyboardInterrupt


async def stop_the_loop() -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.1)


async def leave_tasks() -> None:
    loop = asyncio.get_running_loop()
    loop.leaked = [asyncio.create_task(asyncio.sleep(600)) for _ in range(100)]  # type: ignore[attr-defined]  # kept alive on purpose
