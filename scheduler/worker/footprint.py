"""What a Run may have changed in its process: taken once when the process is new, compared after each Run."""

import locale
import logging
import os
import resource
import signal
import socket
import sys
import threading
from typing import Any

from scheduler.worker.process_tree import PEAK_UNIT_BYTES

GROWTH_LIMIT = 256 * 1024 * 1024  # bytes of peak RSS over that of the new process
_SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE]


class Footprint:
    """The state of a process that the next Run must find as this one found it. A process that differs is not used again."""

    def __init__(self) -> None:
        self._settings = _settings()
        self._peak = _peak_bytes()

    def disturbed(self) -> bool:
        """Whether anything differs, a thread or a child process is left behind, or much memory was taken. Reaps dead children."""
        if threading.active_count() > 1 or _has_children():
            return True
        try:
            return _settings() != self._settings or _peak_bytes() - self._peak > GROWTH_LIMIT
        except (OSError, AttributeError):  # the working directory was removed, a stream is none
            return True


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * PEAK_UNIT_BYTES


def _has_children() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _settings() -> tuple[Any, ...]:
    umask = os.umask(0o077)
    os.umask(umask)
    return (
        umask,
        os.getcwd(),  # noqa: PTH109  compared, never used as a path
        os.environ._data.copy(),  # type: ignore[attr-defined]  # noqa: SLF001  the public view decodes each value: 25 µs
        list(sys.path),
        (sys.stdin, sys.stdout, sys.stderr, sys.excepthook, sys.getrecursionlimit()),
        (sys.stdout.closed, sys.stderr.closed, os.fstat(1).st_ino, os.fstat(2).st_ino),
        [signal.getsignal(number) for number in _SIGNALS],
        signal.getitimer(signal.ITIMER_REAL),
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        (logging.root.level, list(logging.root.handlers), logging.root.manager.disable),
        locale.setlocale(locale.LC_ALL),
        socket.getdefaulttimeout(),
    )
