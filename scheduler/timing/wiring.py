"""What the timer is given by the centre: how to build triggers, read them, and turn a fire into a Submission."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from scheduler.core.ports import Trigger
from scheduler.core.run import Submission
from scheduler.core.task import Schedule


class TimedTrigger(Trigger, Protocol):
    """A trigger with what concerns its fires: the most they are delayed, and how many there may be (None: no bound)."""

    @property
    def jitter_ms(self) -> int: ...

    @property
    def max_runs(self) -> int | None: ...


class Due(Protocol):
    """The newest due instants (oldest first), how many older ones are not listed, and the first after now."""

    @property
    def instants(self) -> tuple[int, ...]: ...

    @property
    def missed(self) -> int: ...

    @property
    def next_ms(self) -> int | None: ...


FindDue = Callable[[TimedTrigger, int, int, int], Due]


@dataclass(frozen=True, slots=True)
class Wiring:
    """``build`` and ``submission`` may raise: the schedule is then parked with the reason.

    ``due(trigger, last_ms, now_ms, limit)``: what fell due after ``last_ms``, in bounded time. ``jitter(name, instant_ms, jitter_ms)``:
    the delay of one fire, the same on every instance. ``submission(schedule, instant_ms)``: the Run to be made.
    """

    build: Callable[[Schedule], TimedTrigger]
    due: FindDue
    jitter: Callable[[str, int, int], int]
    submission: Callable[[Schedule, int], Submission]
