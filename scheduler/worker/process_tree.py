"""Process trees: keep them together, look at them, end them. Exact on Linux; as good as the system allows elsewhere."""

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

from scheduler.core.clock import monotonic

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
    found: list[int] = []
    if _CHILDREN_LISTED:
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  Path objects double the cost
                with suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb") as listed:  # noqa: PTH123  as above
                    found += map(int, listed.read().split())
        return found
    import psutil  # here only: the fork server stays lean where the kernel lists children

    with suppress(psutil.Error):
        found += [child.pid for child in psutil.Process(pid).children()]
    return found


def descendants(pid: int) -> list[int]:
    """Everything below ``pid``, parents before their children."""
    found = level = children(pid)
    while level:
        level = [child for parent in level for child in children(parent)]
        found = found + level
    return found


def tree_rss(pid: int) -> int:
    """Bytes of resident memory of ``pid`` and everything below it; pages they share count once for each."""
    import psutil

    total = 0
    for each in [pid, *descendants(pid)]:
        with suppress(psutil.Error):
            total += psutil.Process(each).memory_info().rss
    return total


def kill_marked(name: str, value: str, timeout_s: float = 2.0) -> None:
    """SIGKILL every process started with ``name=value`` in its environment, and wait until none is left.

    The mark is unique to us, so it also rules out that a number was reused by a stranger.
    """
    import psutil

    deadline = monotonic() + timeout_s
    while monotonic() < deadline:
        marked = [process for process in psutil.process_iter(["environ"]) if (process.info["environ"] or {}).get(name) == value]
        if not marked:
            return
        for process in marked:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(marked, timeout=0.1)


def _prctl(option: int, value: int) -> bool:
    try:
        return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
    except (AttributeError, OSError):
        return False
