"""The outbox: what has ended and is to be told to the queue, turn by turn. A turn whose reply was lost is told again, exactly."""

from collections import deque

from scheduler.core.run import Settlement

MOST_BYTES = 1_000_000  # of results and errors in one turn: a batch that never gets through would keep all of it for ever


class Outbox:
    """``put`` may be called from any thread; the rest is the conductor's."""

    def __init__(self) -> None:
        self._waiting: deque[Settlement] = deque()
        self._turn: tuple[str, list[Settlement]] | None = None  # its reply has not come yet
        self._number = 0

    def __bool__(self) -> bool:
        """Whether there is something for the next turn."""
        return bool(self._waiting)

    @property
    def is_asking(self) -> bool:
        """Whether a turn is under way."""
        return self._turn is not None

    def put(self, settlement: Settlement) -> None:
        self._waiting.append(settlement)

    def turn(self) -> tuple[str, list[Settlement]]:
        """The nonce and the settlements of the turn that is to be held; the same until it is ``over``."""
        if self._turn is None:
            self._number += 1
            self._turn = str(self._number), self._take()
        return self._turn

    def over(self) -> None:
        """Its reply has come, or it was not held after all."""
        self._turn = None

    def runs(self) -> set[str]:
        """Ids of the Runs of which the queue may not have heard yet."""
        told = self._turn[1] if self._turn else []
        return {settlement.id for settlement in [*told, *list(self._waiting)]}

    def clear(self) -> None:
        self._waiting.clear()

    def _take(self) -> list[Settlement]:
        taken, size = list[Settlement](), 0
        while self._waiting and size < MOST_BYTES:
            taken.append(self._waiting.popleft())
            size += len(taken[-1].result) + len(taken[-1].error)
        return taken
