"""Runs that do to their process what users' code has been seen to do."""

import ctypes
import gc
import io
import locale
import logging
import multiprocessing
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from scheduler.core.clock import sleep

MIB = 1024 * 1024


def no_core() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


# Ends of the process


def exit_with(code: Any) -> None:
    sys.exit(code)


def os_exit(code: int) -> None:
    os._exit(code)


def segfault() -> None:
    no_core()
    ctypes.string_at(0)


def abort() -> None:
    no_core()
    os.abort()


def kill_self(number: int) -> None:
    os.kill(os.getpid(), number)
    sleep(600)


def stack_overflow() -> None:
    """C recursion without a Python frame: a chain of iterators is not guarded."""
    no_core()
    chain: Any = iter(())
    for _ in range(10**6):
        chain = filter(None, chain)
    list(chain)


# Exceptions


class TwoArgumentsError(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(a, b)


class NoTextError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text either")


def raise_named(name: str) -> None:
    raise {
        "two": TwoArgumentsError(1, 2),
        "no_text": NoTextError(),
        "huge": ValueError("x" * 10 * MIB),
        "interrupt": KeyboardInterrupt("not from a keyboard"),
        "generator": GeneratorExit(),
        "base": BaseException("bare"),
        "memory": MemoryError(),
        "surrogate": ValueError("\ud800 lone"),
    }[name]


def recurse() -> None:
    recurse()


# Never ending


def spin() -> None:
    while True:
        pass


def hold_the_gil() -> None:
    """A call into C that does not let go of the interpreter."""
    ctypes.PyDLL(None).sleep(600)


def regex() -> None:
    re.match(r"(a+)+$", "a" * 60 + "b")


def deaf() -> None:
    """Ignores and blocks whatever can be."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_IGN)
        except OSError:
            continue
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        sleep(600)


def stop_self() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


# What stays behind


def daemonize(pids: str, wait: bool) -> None:
    """A grandchild with a session of its own and no living parent; its number is written to ``pids``."""
    if os.fork() == 0:
        os.setsid()
        subprocess.Popen(["/bin/sh", "-c", f"echo $$ >> {pids}; exec sleep 600"], start_new_session=True)
        os._exit(0)
    os.wait()
    while not Path(pids).exists() or not Path(pids).read_text().strip():
        sleep(0.01)
    if wait:
        sleep(600)


def background(pids: str) -> str:
    """A grandchild that keeps stdout open."""
    subprocess.Popen(["/bin/sh", "-c", f"sleep 600 & echo $! > {pids}; echo hi"]).wait()
    return "done"


def thread_left(seconds: float, daemon: bool = False, path: str = "") -> str:
    if path:
        Path(path).touch()
    threading.Thread(target=sleep, args=(seconds,), daemon=daemon).start()
    return "done"


def thread_writes(path: str) -> str:
    """A thread that outlives run() for a moment, and is waited for."""

    def later() -> None:
        sleep(0.1)
        Path(path).touch()

    threading.Thread(target=later).start()
    return "done"


def process_left(pids: str) -> str:
    child = multiprocessing.get_context("fork").Process(target=sleep, args=(600,))
    child.start()
    Path(pids).write_text(str(child.pid))
    return "done"


def fork_and_return(value: str) -> str:
    """Both copies come back from run(), the copy first."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    return value if pid else "the copy"


def fork_storm(count: int) -> str:
    for _ in range(count):
        if os.fork() == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def fork_bomb(pids: str) -> None:
    """Runs away: each process is replaced by its child, again and again."""
    if os.fork() == 0:
        while True:
            Path(pids).write_text(str(os.getpid()))
            if os.fork():
                os._exit(0)
            os.setsid()
    sleep(600)


# What is changed


def change(what: str, value: str = "") -> int:
    {
        "cwd": lambda: os.chdir(value),
        "umask": lambda: os.umask(0o777),
        "environment": lambda: os.environ.update(LEFT="behind"),
        "path": lambda: sys.path.insert(0, "/nowhere"),
        "handler": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
        "alarm": lambda: signal.alarm(100),
        "mask": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]),
        "logging": lambda: logging.getLogger().setLevel(logging.CRITICAL),
        "log_handler": lambda: logging.getLogger().addHandler(logging.NullHandler()),
        "locale": lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8" if locale.setlocale(locale.LC_ALL) == "C" else "C"),
        "timeout": lambda: socket.setdefaulttimeout(1),
        "stdout": lambda: setattr(sys, "stdout", io.StringIO()),
        "closed": sys.stdout.close,
        "recursion": lambda: sys.setrecursionlimit(5000),
        "gone": lambda: os.chdir(value) or Path(value).rmdir(),
    }[what]()
    return os.getpid()


def grow(mib: int) -> int:
    kept = bytearray(mib * MIB)
    kept[::4096] = b"x" * len(kept[::4096])
    return os.getpid()


def eat(mib: int) -> None:
    """More memory in each step, in a child of its own."""
    script = f"from time import sleep\nx = []\nfor _ in range({mib}): x.append(bytearray(b'x' * {MIB})); sleep(0.001)\nsleep(600)"
    subprocess.run([sys.executable, "-c", script], check=False)


# What is printed


def flood() -> None:
    subprocess.run(["/usr/bin/yes", "a line of yes that is somewhat longer than one letter"], check=False)


def print_bytes() -> None:
    os.write(1, b"\xff\xfe\x00\x1b[31m\x80bytes")
    sys.stdout.write("text \udcff \x00\n")


def one_long_line(mib: int) -> str:
    for _ in range(mib):
        os.write(1, b"x" * MIB)
    os.write(1, b"the end")
    return "printed"


# The channel itself


def close_everything() -> None:
    os.closerange(3, 256)
    sleep(600)


def say(data: str) -> None:
    """Into every socket there is, the control channel among them."""
    for fd in range(3, 16):
        try:
            socket.socket(fileno=os.dup(fd)).sendall(data.encode())
        except OSError:
            continue


def nonsense(data: str) -> None:
    say(data)
    sleep(600)


def say_much_and_die(count: int) -> None:
    say("".join(f'["progress",{number},""]\n' for number in range(count)))
    os._exit(3)


def kill_parent(number: int) -> None:
    os.kill(os.getppid(), number)
    sleep(600)


# Results


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class BrokenDict(dict[str, Any]):
    def items(self) -> Any:
        raise KeyboardInterrupt


def _circular() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


RESULTS: dict[str, Any] = {
    "lock": threading.Lock,
    "nan": lambda: float("nan"),
    "infinity": lambda: [1, float("-inf")],
    "bytes": lambda: b"bytes",
    "set": lambda: {1, 2},
    "circular": _circular,
    "lone surrogate": lambda: {"text": "\ud800"},
    "surrogate key": lambda: {"\udfff": 1},
    "deep": lambda: _nested(100_000),
    "complex": lambda: 1j,
    "object": object,
    "class": lambda: Unprintable,
    "no repr": Unprintable,
    "broken dict": lambda: BrokenDict(a=1),
    "tuple key": lambda: {(1, 2): 3},
    "generator": lambda: (n for n in range(3)),
    "function": lambda: len,
    "exception": lambda: ValueError("returned, not raised"),
    "path": lambda: Path("/tmp"),
    "file": io.BytesIO,
    "huge text": lambda: "x" * 300_000,
    "huge text of 3 byte letters": lambda: "长" * 100_000,
    "huge list": lambda: list(range(100_000)),
    "memoryview": lambda: memoryview(b"x"),
}


def result(name: str) -> Any:
    gc.collect()
    return RESULTS[name]()
