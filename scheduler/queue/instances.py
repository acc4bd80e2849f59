"""Instances: who is there, with which configuration; and whether the store still knows what this one has told it."""

import logging
from collections.abc import Callable

from scheduler.core.clock import monotonic
from scheduler.queue.runqueue import RunQueue

ATTEND_S = 2.0
LIVING_MS = 15_000
_log = logging.getLogger(__name__)


class Instances:
    """``step`` shows that this instance is there. ``tell`` enters in the store what it has lost."""

    def __init__(self, queue: RunQueue, instance: str, tell: Callable[[], None], clock: Callable[[], float] = monotonic) -> None:
        self.configuration = ""  # a digest of what this instance enters; '': nothing
        self.differing: list[str] = []  # who is there with another configuration; what was entered last holds
        self._call = queue.functions.call
        self._instance = instance
        self._tell = tell
        self._clock = clock
        self._due = 0.0
        self._came = False
        self._lost = False

    def step(self) -> None:
        """Every other second; raises what the store raises."""
        if self._clock() < self._due:
            return
        self._due = self._clock() + ATTEND_S
        known, differing = self._call("attend", self._instance, self.configuration, LIVING_MS)
        self._lost = self._lost or (self._came and not known)
        self._came = True
        if self._lost:
            _log.warning("the store has lost what it was told by %s: the configuration is entered again", self._instance)
            self._tell()
            self._lost = False
        for other in sorted({*differing} - {*self.differing}):
            _log.warning(
                "%s has another configuration than %s: schedules and limits are those of whichever started last", self._instance, other
            )
        self.differing = sorted(differing)

    def leave(self) -> None:
        """We end: nobody need be told that our configuration differs."""
        try:
            self._call("leave", self._instance)
        except Exception as error:
            _log.debug("%s could not say that it leaves: %s", self._instance, error)
