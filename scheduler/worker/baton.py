"""The baton: of a worker's threads one conducts. It talks to the queue and runs short Runs in place, without a hand-over.

A hand-over to another thread costs some 60 µs, a no-op Run a few. So the conductor runs what it claimed itself, and only
when a Run lasts (5 ms) does the ticker give the baton to another thread, which goes on with the rest.
"""

import ctypes
import logging
import sys
import threading
from collections.abc import Callable

from scheduler.core.clock import perf_counter

log = logging.getLogger("scheduler.worker")

PATIENCE_S = 0.005


class GivenUp(BaseException):
    """Raised inside a thread whose Run was given up: no ``except Exception`` of user code stops it."""


def interrupt(thread: int) -> None:
    """Raise GivenUp in the thread of this ident, at its next step in Python.

    Under a tracer (coverage, a debugger) CPython 3.11 lets every other thread spin at its next call until that step comes,
    which a thread inside C may never take; so there the thread is left alone.
    """
    if sys.version_info < (3, 12) and threading.gettrace() is not None:
        return
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(GivenUp))


class Seat:
    """One thread of the crew; it sleeps here until it is given the baton."""

    __slots__ = ("called", "thread")

    def __init__(self) -> None:
        self.called = threading.Event()
        self.thread = 0


class Baton:
    """Gives the baton to one seat at a time. ``conduct(seat)`` runs in that seat's thread and returns when it has lost the baton."""

    def __init__(self, name: str, conduct: Callable[[Seat], None]) -> None:
        self._name = name
        self._conduct = conduct
        self._lock = threading.Lock()
        self._holder: Seat | None = None
        self._since: float | None = None  # when the holder began a Run in place
        self._parked: list[Seat] = []
        self._closed = False
        self.threads = 0

    def start(self) -> None:
        with self._lock:
            self._call_next()

    def begin(self) -> None:
        """The holder starts a Run in place."""
        self._since = perf_counter()

    def end(self, seat: Seat) -> bool:
        """The Run of this seat is over; whether the seat still holds the baton."""
        with self._lock:
            if self._holder is not seat:
                return False
            self._since = None
            return True

    def held_here(self) -> bool:
        """Whether the calling thread holds the baton."""
        return self._holder is not None and self._holder.thread == threading.get_ident()

    def pass_on(self, seat: Seat) -> None:
        """The holder knows that its next Run lasts, and gives the baton away before it starts."""
        with self._lock:
            if self._holder is seat and not self._closed:
                self._call_next()

    def relieve(self, now: float) -> None:
        """Give the baton to another seat when its holder has been in one Run for longer than the patience."""
        with self._lock:
            if not self._closed and self._since is not None and now - self._since > PATIENCE_S:
                self._call_next()

    def close(self) -> None:
        """No seat is called any more; parked threads end."""
        with self._lock:
            self._closed = True
            for seat in self._parked:
                seat.called.set()

    def _call_next(self) -> None:
        self._since = None
        if self._parked:
            self._holder = self._parked.pop()
        else:
            self._holder = Seat()
            self.threads += 1
            threading.Thread(target=self._sit, args=(self._holder,), name=f"{self._name}-{self.threads}", daemon=True).start()
        self._holder.called.set()

    def _sit(self, seat: Seat) -> None:
        seat.thread = threading.get_ident()
        while True:
            seat.called.wait()
            if self._closed and self._holder is not seat:
                return
            seat.called.clear()
            self._keep_conducting(seat)
            with self._lock:
                if self._closed:
                    return
                self._parked.append(seat)

    def _keep_conducting(self, seat: Seat) -> None:
        """A mistake of ours in one Run must not stop the worker: say so, and go on with the next."""
        while True:
            try:
                self._conduct(seat)
            except GivenUp:
                return  # it came so late that the Run had ended by itself
            except Exception:
                log.exception("the conductor stumbled; it goes on")
                if self.end(seat):
                    continue
            return
