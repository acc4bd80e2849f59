"""Pulse: when each loop of this process last went round, so that somebody outside it can tell whether it still does."""

from collections.abc import Callable

from scheduler.core.clock import monotonic


class Pulse:
    """Loops ``beat`` in their own threads; anybody may ask for the ``ages``."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}

    def beat(self, loop: str) -> None:
        self._last[loop] = self._clock()

    def leave(self, loop: str) -> None:
        """It has ended as it should; nobody need look for it."""
        self._last.pop(loop, None)

    def ages(self) -> dict[str, float]:
        """Loop → seconds since its last beat."""
        now = self._clock()
        return {loop: max(0.0, now - last) for loop, last in self._last.copy().items()}
