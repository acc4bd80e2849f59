"""Side effects of an import: what a module changed in the process it was imported into, and would change in the worker too."""

import os
import signal
import threading
from typing import Any


class Effects:
    """Remembers the process as it was; ``found`` names what has changed since."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._handlers = _handlers()
        self._folder = os.getcwd()  # noqa: PTH109 -- a path object would be made for a comparison only

    def found(self) -> list[str]:
        """One short phrase for each kind of side effect; [] for a well-behaved module."""
        changed = sorted(signal.Signals(number).name for number, handler in _handlers().items() if handler != self._handlers[number])
        phrases = {
            "starts threads": [thread.name for thread in threading.enumerate() if thread not in self._threads],
            "changes signal handlers": changed,
            "sets an alarm": [str(timer) for timer in (signal.ITIMER_REAL, signal.ITIMER_PROF) if any(signal.getitimer(timer))],
            "changes the working directory": [path for path in [os.getcwd()] if path != self._folder],  # noqa: PTH109 -- as above
            "leaves child processes": ["fork or subprocess"] if _has_children() else [],
        }
        return [f"{phrase} at import ({', '.join(what)})" for phrase, what in phrases.items() if what]


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _has_children() -> bool:
    """Only a process without children gets ECHILD; the one that may be reaped here has nobody left who would miss it."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True
