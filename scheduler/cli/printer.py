"""The lines of ``serve``: one for each thing worth telling, but never so many that a terminal, or the engine, has to wait for them."""

import queue
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import tzinfo

from scheduler.cli.words import translate
from scheduler.core.clock import monotonic
from scheduler.core.events import Event
from scheduler.core.language import Language
from scheduler.core.states import TERMINAL
from scheduler.observe.console import format_event
from scheduler.observe.vocabulary import word

LINES_PER_S = 20
_BACKLOG = 100  # lines that a stopped terminal (Ctrl-S) may owe before more are only counted
_PATIENCE_S = 1.0


class Printer:
    """A watcher of the service. It formats the first lines of a second and counts the rest; a thread of its own writes."""

    def __init__(
        self, write: Callable[[str], object], lang: Language, *, color: bool, zone: tzinfo, clock: Callable[[], float] = monotonic
    ) -> None:
        self._write, self._lang, self._color, self._zone, self._clock = write, lang, color, zone, clock
        self._lines: queue.Queue[str | None] = queue.Queue(_BACKLOG)
        self._room, self._second = LINES_PER_S, int(clock())
        self._untold: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._print, name="printer", daemon=True)
        self._thread.start()

    def observe(self, events: Sequence[Event]) -> None:
        second = int(self._clock())
        if second != self._second:
            self._second, self._room = second, LINES_PER_S
            self._sum_up()
        for event in events:
            if self._room and not self._lines.full():
                if line := format_event(event, self._lang, self._color, self._zone):
                    self._room -= 1
                    self.say(line)
            elif event.type in TERMINAL:
                self._untold[event.type] += 1

    def say(self, line: str) -> None:
        """One line more; it is lost where too many wait already."""
        with suppress(queue.Full):
            self._lines.put_nowait(line)

    def close(self) -> None:
        """Wait for the last lines, but not for a terminal that has stopped."""
        with suppress(queue.Full):
            self._lines.put(None, timeout=_PATIENCE_S)
        self._thread.join(_PATIENCE_S)

    def _sum_up(self) -> None:
        if self._untold and not self._lines.full():
            counts = ", ".join(f"{count} {word(state, self._lang)}" for state, count in self._untold.most_common())
            text = translate("… and {count} more Runs in this second: {counts}", self._lang)
            self.say("          " + text.format(count=self._untold.total(), counts=counts))
            self._untold.clear()

    def _print(self) -> None:
        with suppress(OSError, ValueError):  # the terminal is gone: nobody reads any more, and the engine goes on
            while (line := self._lines.get()) is not None:
                self._write(line)
