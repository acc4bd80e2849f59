"""Process trees: keep them together, look at them, end them. Exact on Linux; as good as the system allows elsewhere."""

import ctypes
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from scheduler.core.clock import monotonic, sleep

_PDEATHSIG, _CHILD_SUBREAPER = 1, 36  # <linux/prctl.h>
_CHILDREN_LISTED = Path(f"/proc/self/task/{os.getpid()}/children").exists()  # a kernel option
ADOPTS = sys.platform == "linux"  # whether orphans come to a parent that asks for them
PEAK_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss


def adopt_orphans() -> bool:
    """Make this process the parent of every descendant that loses its own; False where the system cannot."""
    return _prctl(_CHILD_SUBREAPER, 1)


def on_parents_death(number: int) -> bool:
    """Get this signal as soon as the thread that started us ends; False where the system cannot."""
    return _prctl(_PDEATHSIG, number)


def children(pid: int) -> list[int]:
    """The direct children of ``pid``, of all its threads; [] for a process that is gone."""
    return _listed_children(pid) if _CHILDREN_LISTED else _scanned_children(pid)


def descendants(pid: int) -> list[int]:
    """Everything below ``pid``, parents before their children."""
    found: list[int] = []
    level = children(pid)
    while level:
        found += level
        level = [child for parent in level for child in children(parent)]
    return found


def tree_rss(pid: int) -> int:
    """Bytes of resident memory of ``pid`` and everything below it; pages they share count once for each."""
    return sum(map(_rss, [pid, *descendants(pid)]))


def kill_marked(name: str, value: str, timeout_s: float = 2.0) -> None:
    """SIGKILL every process started with ``name=value`` in its environment, and wait until none is left.

    The mark is unique to us, so it also rules out that a number was reused by a stranger.
    """
    deadline = monotonic() + timeout_s
    while (found := _marked(name, value)) and monotonic() < deadline:
        for process_kill in found:
            process_kill()
        sleep(0.01)


def _prctl(option: int, value: int) -> bool:
    try:
        return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
    except (AttributeError, OSError):
        return False


def _listed_children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  Path objects double the cost
            with suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb") as listed:  # noqa: PTH123  as above
                found += map(int, listed.read().split())
    return found


def _scanned_children(pid: int) -> list[int]:
    import psutil  # here only: the fork server stays lean where the kernel lists children

    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def _rss(pid: int) -> int:
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _marked(name: str, value: str) -> list[Callable[[], None]]:
    """What kills each marked process that lives."""
    import psutil

    found: list[Callable[[], None]] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(name) == value:  # a zombie has none
                found.append(process.kill)
    return found
