"""The sweeper: every instance sweeps, so no rescue waits for an election. Due Runs become pending, dead workers' Runs are decided."""

import logging
from collections.abc import Callable
from functools import partial
from random import Random
from typing import NamedTuple

from scheduler.core.clock import monotonic
from scheduler.core.decide import History, decide
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.ports import Orphan, WorkerQueue
from scheduler.core.run import Settlement
from scheduler.core.task import Task
from scheduler.worker.attempt import error_json
from scheduler.worker.capture import timed_out

log = logging.getLogger("scheduler.sweeper")

ROUND_S = 0.6
THOROUGH_EVERY = 8  # rounds: an idle instance sends few commands
RETAIN_EVERY_S = 10.0


class Leases(NamedTuple):
    """Times of the leases, in milliseconds: a worker beats three times within one."""

    lease_ms: int = 15_000
    beat_ms: int = 5_000

    @property
    def patience_s(self) -> float:
        """How long a beat may wait for its answer: as a slow store needs, while three tries fit into a lease."""
        return min(5.0, self.lease_ms / 5000)

    @property
    def trust_s(self) -> float:
        """How long a worker may believe in a renewal, from when it was sent: a second (of a short lease a third) less than it holds."""
        return self.lease_ms / 1000 - min(1.0, self.lease_ms / 3000)


class Retention(NamedTuple):
    """What the live store keeps of finished Runs and of events."""

    runs: int = 10_000
    age_ms: int = 3_600_000
    events: int = 100_000


class Sweeper:
    """``step`` does one round and returns the seconds to the next; it never raises."""

    def __init__(
        self,
        queue: WorkerQueue,
        find_task: Callable[[str], Task | None],
        leases: Leases = Leases(),
        retention: Retention = Retention(),
        clock: Callable[[], float] = monotonic,
        errand: Callable[[], None] = lambda: None,
    ) -> None:
        self._queue = queue
        self._find_task = find_task
        self._leases = leases
        self._retention = retention
        self._clock = clock
        self._errand = errand  # what else an instance has to say to the store now and then
        self._random = Random()
        self._rounds = 0
        self._trouble: set[str] = set()
        self._trusted_from = clock() + 2 * leases.beat_ms / 1000  # whoever was away with us must get a chance to beat first
        self._seen: tuple[int, float] | None = None
        self._retain_at = clock() + RETAIN_EVERY_S

    def step(self) -> float:
        thorough = self._rounds % THOROUGH_EVERY == 0
        self._rounds += 1
        try:
            sweep = self._queue.sweep(expected_ms=self._expected_ms(), longest_lease_ms=self._leases.lease_ms, thorough=thorough)
        except Exception as outage:
            self._complain([outage])
            self._distrust(2 * self._leases.beat_ms)  # nobody could beat either
            return ROUND_S
        self._watch_clock(sweep.now_ms)
        chores: list[Callable[[], object]] = [*(partial(self.rescue, worker) for worker in sweep.fenced), self._retain, self._errand]
        self._complain([error for chore in chores if (error := _error_of(chore))])
        return ROUND_S if sweep.next_due_ms < 0 else min(ROUND_S, max(0.001, sweep.next_due_ms / 1000))

    def rescue(self, worker: str) -> int:
        """Decide every Run a fenced worker still holds; how many."""
        total = 0
        while orphans := self._queue.orphans(worker):
            answers = self._queue.settle([self._judge(orphan) for orphan in orphans])
            decided = sum(answer in ("ok", "done") for answer in answers)
            if not decided:
                break  # the next round asks again
            total += decided
            log.warning("worker %s is gone; its %d Runs were decided", worker, decided)
        return total

    def _judge(self, orphan: Orphan) -> Settlement:
        """The same judge as after any attempt. A Run that was over its deadline did not lose its worker, it cost it."""
        claim = orphan.claim
        task = self._find_task(claim.task) or Task(name=claim.task, target="")
        now_ms = self._now_ms()
        ran_ms = 0 if now_ms is None else now_ms - orphan.started_ms
        late = task.timeout_ms is not None and ran_ms > task.timeout_ms
        outcome = timed_out(task.name, task.timeout_ms) if late else Outcome(Kind.LOST)
        decision = decide(task, History(claim.attempt, claim.losses, claim.crashes), outcome, self._random)
        return Settlement(
            claim.id,
            claim.token,
            decision.state,
            decision.reason,
            decision.delay_ms,
            decision.burn,
            decision.strike,
            error=error_json(outcome),
            duration_ms=max(0, ran_ms),
        )

    def _expected_ms(self) -> int | None:
        """What the store's clock should say now; None while leases are not to be trusted."""
        return None if self._clock() < self._trusted_from else self._now_ms()

    def _now_ms(self) -> int | None:
        """The store's clock as it should be by ours, without asking; None before the first sweep."""
        return None if self._seen is None else round(self._seen[0] + (self._clock() - self._seen[1]) * 1000)

    def _watch_clock(self, now_ms: int) -> None:
        """When the server's clock stepped, leases mean nothing until everybody has beaten in the new time."""
        now = self._clock()
        if self._seen is not None:
            step_ms = (now_ms - self._seen[0]) - (now - self._seen[1]) * 1000
            if abs(step_ms) > 1000:
                log.warning("the store's clock stepped by %.1f s; no worker is declared dead for one lease", step_ms / 1000)
                self._distrust(self._leases.lease_ms)
        self._seen = (now_ms, now)

    def _complain(self, errors: list[Exception]) -> None:
        """A line for each trouble when it begins, and one when all is well again."""
        trouble = {f"{type(error).__name__}: {error}" for error in errors}
        for text in sorted(trouble - self._trouble):
            log.warning("the sweeper cannot do all its work and tries again: %s", text)
        if self._trouble and not trouble:
            log.info("the sweeper works again")
        self._trouble = trouble

    def _distrust(self, ms: int) -> None:
        self._trusted_from = max(self._trusted_from, self._clock() + ms / 1000)

    def _retain(self) -> None:
        if self._clock() >= self._retain_at:
            self._retain_at = self._clock() + RETAIN_EVERY_S
            self._queue.retain(keep=self._retention.runs, keep_ms=self._retention.age_ms, events=self._retention.events)


def _error_of(chore: Callable[[], object]) -> Exception | None:
    """What it raised: one worker whose Runs cannot be decided must not keep another from being rescued."""
    try:
        chore()
    except Exception as error:
        return error
    return None
