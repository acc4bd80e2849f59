"""How a worker paces itself: how many short Runs to claim at once, which tasks last, how long to wait for a store that is away."""

import logging

from scheduler.core.clock import monotonic

log = logging.getLogger("scheduler.worker")

BATCH_MS = 10.0  # claim at most what runs in this time: a crash or a long Run never holds more back
MOST = 50
LASTS_MS = 5.0


class Pace:
    """Measured durations (moving averages, ms) and the outage of the store."""

    def __init__(self) -> None:
        self._average_ms = BATCH_MS
        self._by_task: dict[str, float] = {}
        self._failures = 0
        self._away_since: float | None = None

    def ran(self, task: str, duration_ms: float) -> None:
        # Quick to believe that Runs have become long, slow to believe that they are short.
        weight = 0.5 if duration_ms > self._average_ms else 0.1
        self._average_ms += (duration_ms - self._average_ms) * weight
        known = self._by_task.get(task, 0.0)
        self._by_task[task] = known + (duration_ms - known) * 0.2

    def short(self) -> bool:
        return self._average_ms < 1.0

    def batch(self) -> int:
        """How many Runs fit into BATCH_MS."""
        return max(1, min(MOST, int(BATCH_MS / max(self._average_ms, 0.01))))

    def lasts(self, task: str) -> bool:
        """Whether a Run of this task is expected to be worth a thread of its own."""
        return self._by_task.get(task, 0.0) > LASTS_MS

    def store_is_away(self, error: Exception) -> None:
        self._failures += 1
        if self._away_since is None:
            self._away_since = monotonic()
            log.warning("the store does not answer (%s); what runs goes on, and we keep trying", error)

    def store_is_back(self) -> None:
        if self._away_since is not None:
            log.warning("the store is back after %.1f s", monotonic() - self._away_since)
        self._failures, self._away_since = 0, None

    def outage_delay_s(self) -> float:
        return float(min(0.02 * 2 ** min(self._failures, 6), 0.5))
