"""The leader lock: one instance fires, the others stand by. It saves work; the epoch in every fire is what keeps them apart."""

import logging
from collections.abc import Callable

from scheduler.core.clock import monotonic
from scheduler.core.ports import Leadership, ScheduleStore

_log = logging.getLogger(__name__)


def _nothing() -> None:
    """Nobody wants to know."""


class Leader:
    """``step`` asks for the leadership or renews it; any error means: not leader.

    Our own belief is measured from the moment the question was sent and ends 1 s (for short leases: a sixth) before the lease
    does, on the monotonic clock. A standby asks every twelfth of the lease, so that it follows a resignation within a second
    and a death half a second after the lease's end.
    """

    def __init__(
        self,
        store: ScheduleStore,
        instance: str,
        *,
        lease_ms: int = 6000,
        clock: Callable[[], float] = monotonic,
        on_gain: Callable[[], None] = _nothing,
        on_loss: Callable[[], None] = _nothing,
    ) -> None:
        self.instance = instance
        self.lease_ms = lease_ms
        self.takeover_ms = 0  # how long nobody was heard of as leader when we last took over
        self._store = store
        self._clock = clock
        self._on_gain, self._on_loss = on_gain, on_loss
        self._epoch = 0
        self._trusted_until = 0.0
        self._ask_at = 0.0

    @property
    def epoch(self) -> int:
        """The number of our leadership; 0 as soon as we may no longer believe in it."""
        return self._epoch if self._clock() < self._trusted_until else 0

    def step(self) -> float:
        """Do what is due; seconds until the next time."""
        if self._epoch and not self.epoch:
            self.lose("the lease could not be renewed in time")
        if self._clock() >= self._ask_at:
            self._ask()
        return max(0.0, self._ask_at - self._clock())

    def lose(self, why: str) -> None:
        """Not leader any more; the next step asks again."""
        if self._epoch:
            _log.info("%s leads no longer (epoch %d): %s", self.instance, self._epoch, why)
            self._epoch = 0
            self._on_loss()
        self._ask_at = 0.0

    def resign(self) -> None:
        """Step down, so that a standby takes over at once; the store is told last and may be away."""
        self.lose("it resigns")
        try:
            self._store.resign(self.instance)
        except Exception as error:
            _log.warning("%s could not give back the leadership, its lease will end by itself: %s", self.instance, error)

    def _ask(self) -> None:
        sent, lease_s = self._clock(), self.lease_ms / 1000
        try:
            answer = self._store.elect(self.instance, self.lease_ms)
        except Exception as error:
            self.lose(f"the store did not answer: {error}")
            self._ask_at = sent + lease_s / 12
            return
        self._trusted_until = sent + lease_s - min(1.0, lease_s / 6)
        self._ask_at = sent + lease_s / (3 if answer.epoch else 12)
        self._accept(answer)

    def _accept(self, answer: Leadership) -> None:
        if answer.epoch == self._epoch:
            return
        if self._epoch:
            ask_at = self._ask_at
            self.lose(f"{answer.leader} has epoch {answer.epoch}" if answer.epoch else f"{answer.leader} leads")
            self._ask_at = ask_at
        if answer.epoch:
            self._epoch, self.takeover_ms = answer.epoch, answer.silent_ms
            after = f"; the leader before it was last heard of {answer.silent_ms} ms ago" if answer.silent_ms else ""
            _log.info("%s leads (epoch %d)%s", self.instance, answer.epoch, after)
            self._on_gain()
