"""The audience of the events: the watchers in this process, and the one thread that reads the stream to them."""

import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from scheduler.core.clock import monotonic
from scheduler.core.events import Event
from scheduler.queue import EventReader

if TYPE_CHECKING:
    from scheduler.center import SchedulerCenter
    from scheduler.core.pulse import Pulse
    from scheduler.queue import RunQueue

log = logging.getLogger("scheduler")

GATHER_S = 0.05  # events are read in bunches: waking up for each would take the processor from the Run that it tells of
LISTEN_MS = 700  # how long one reading waits for events
AGAIN_S = 0.2
REVIVE_AFTER = 3  # rounds without an answer from an embedded server before we look whether it lives
LAST_S = 1.0  # for the last events, however many other instances go on writing


class Watcher(Protocol):
    """Somebody who wants to know what happens: metrics, the log, the terminal."""

    def observe(self, events: Sequence[Event]) -> None: ...


class OwnEvents:
    """Tells a watcher only what concerns this instance, so that all instances together count each event once.

    That is what its own workers did, and, while it leads, what no worker did.
    """

    def __init__(self, center: "SchedulerCenter", watcher: Watcher) -> None:
        self._center = center
        self._watcher = watcher

    def observe(self, events: Sequence[Event]) -> None:
        mine, leads = f"{self._center.instance}.", self._center.is_running and self._center.roles.leads
        self._watcher.observe([event for event in events if (event.worker.startswith(mine) if event.worker else leads)])


class Audience:
    """Tells each watcher of all that happens from ``start`` on. It hears first that an embedded server has died, and starts it again."""

    def __init__(self, center: "SchedulerCenter", queue: "RunQueue", pulse: "Pulse") -> None:
        self._store, self._queue, self._pulse = center.store, queue, pulse
        self._watchers: list[Watcher] = []
        self._reader = EventReader(queue.client, queue.prefix)
        self._told = ""  # the position up to which the watchers know
        self._telling = threading.Lock()
        self._ended = threading.Event()

    def join(self, *watchers: Watcher) -> None:
        self._watchers = [*self._watchers, *watchers]

    def start(self) -> None:
        """Harmless when it has started."""
        if not self._told:
            self._reader.read()
            self._told = self._reader.position
            self._pulse.beat("watchers")
            threading.Thread(target=self._listen, name="watchers", daemon=True).start()

    def stop(self) -> None:
        """Tell the last events, and end; the thread that waits for more in vain ends by itself."""
        with self._telling:
            self._ended.set()
            if not self._told:
                return
            deadline = monotonic() + LAST_S
            last = EventReader(self._queue.client, self._queue.prefix, start=self._told)
            last.behind = True
            try:
                while last.behind and monotonic() < deadline:
                    self._tell(last.read(), last.position)
            except Exception as error:
                log.debug("the last events: %s", error)

    def _listen(self) -> None:
        failures = 0
        while not self._ended.is_set():
            self._pulse.beat("watchers")
            try:
                events = self._reader.read(block_ms=LISTEN_MS)
                failures = 0
            except Exception as error:
                failures += 1
                self._store_is_away(error, failures)
                continue
            with self._telling:
                if not self._ended.is_set():
                    self._tell(events, self._reader.position)
            if not self._reader.behind:
                self._ended.wait(GATHER_S)
        self._pulse.leave("watchers")

    def _tell(self, events: Sequence[Event], position: str) -> None:
        for watcher in self._watchers:
            try:
                watcher.observe(events)
            except Exception:
                log.exception("a watcher failed; the others go on")
        self._told = position

    def _store_is_away(self, error: Exception, failures: int) -> None:
        log.debug("events: %s", error)
        self._ended.wait(AGAIN_S)
        if failures >= REVIVE_AFTER and not self._ended.is_set():
            try:
                self._store.revive()
            except Exception as trouble:
                log.warning("the store could not be started again: %s", trouble)
