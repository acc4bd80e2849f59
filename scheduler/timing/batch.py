"""Fires on their way into the store: they stay here until it has said that it has them."""

from collections.abc import Callable
from dataclasses import replace

from scheduler.core.ports import ScheduleStore
from scheduler.core.run import Fire

_CALL = 200  # fires in one call, so that the server soon answers others
_STORM = 20  # more schedules than this late at one time are a storm
_SPREAD_MS = 10_000


class Batch:
    """The fires of one step, in order. Repeating a call whose reply was lost is harmless: the store answers ``duplicate``."""

    def __init__(self, store: ScheduleStore) -> None:
        self.fires: list[Fire] = []
        self._late: list[int] = []  # where in ``fires`` the late ones are
        self._store = store

    def add(self, fires: list[Fire], *, late: bool) -> None:
        if late:
            self._late += range(len(self.fires), len(self.fires) + len(fires))
        self.fires += fires

    def spread(self) -> None:
        """Call when the step's fires are complete: the Runs of a storm start evenly over ten seconds, ordered by name."""
        late = sorted(self._late, key=lambda place: (self.fires[place].schedule, place))
        self._late = []
        if len({self.fires[place].schedule for place in late}) <= _STORM:
            return
        for number, place in enumerate(late):
            fire = self.fires[place]
            delay_ms = _SPREAD_MS * number // (len(late) - 1)
            self.fires[place] = replace(fire, submission=replace(fire.submission, delay_ms=delay_ms))

    def flush(self, epoch: Callable[[], int]) -> str:
        """Give everything to the store: ``ok``, ``stale`` (we lead no longer) or ``future`` (its clock is behind ours).

        Raises what the store raises; what it has not accepted is kept. ``epoch()`` is asked before each call.
        """
        future: list[Fire] = []
        while self.fires:
            number = epoch()
            if not self.fires:  # with another epoch we begin with nothing
                return "ok"
            answers = self._store.fire(number, self.fires[:_CALL]) if number else ["stale"]
            if answers[0] == "stale":
                return "stale"
            future += [fire for fire, answer in zip(self.fires, answers, strict=False) if answer == "future"]
            del self.fires[: len(answers)]
        self.fires = future
        return "future" if future else "ok"

    def drop(self) -> set[str]:
        """Forget everything; the names of the schedules concerned."""
        names = {fire.schedule for fire in self.fires}
        self.fires, self._late = [], []
        return names
