"""Timer: APScheduler's loop as a stepped clock. On the leader, each step turns what is due into fires and gives them to the store."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC
from difflib import get_close_matches
from threading import Event

from apscheduler.schedulers.base import BaseScheduler

from scheduler.core.clock import monotonic
from scheduler.core.errors import ConflictError, UnknownScheduleError
from scheduler.core.ports import ScheduleStore
from scheduler.core.task import Schedule
from scheduler.timing.batch import Batch
from scheduler.timing.catchup import NOTHING, Plan
from scheduler.timing.clock import StoreClock
from scheduler.timing.executor import FireExecutor
from scheduler.timing.job import ScheduleJob
from scheduler.timing.jobstore import RedisJobStore
from scheduler.timing.leader import Leader
from scheduler.timing.reconcile import Changes, compare
from scheduler.timing.wiring import Wiring

_LOOK_S = 1.0  # how often the store is asked for its time and for changes, and the longest wait
_RETRY_S = 0.25
_MOST_LINES = 50  # of what has changed in the configuration
_log = logging.getLogger(__name__)


class Timer(BaseScheduler):  # type: ignore[misc]  # the library is untyped
    """Call ``step`` again and again, or ``run``; both in one thread. All other methods may be called from any thread.

    ``instance`` names this process among all that share the store. The store's clock alone says what is due.
    """

    def __init__(
        self, store: ScheduleStore, instance: str, wiring: Wiring, *, lease_ms: int = 6000, clock: Callable[[], float] = monotonic
    ) -> None:
        super().__init__(timezone=UTC, logger=_log.getChild("apscheduler"))
        self.wiring = wiring
        self.leader = Leader(store, instance, lease_ms=lease_ms, clock=clock, on_gain=self.reload, on_loss=self._drop)
        self.jobs = RedisJobStore(store, wiring)
        self._store = store
        self._monotonic = clock
        self._clock = StoreClock(store.now_ms, clock)
        self._batch = Batch(store)
        self._yaml: Sequence[Schedule] | None = None
        self._looked: float | None = None
        self._generation = -1
        self._outdated, self._rebuild = True, False
        self._trouble, self._trouble_since = "", 0.0
        self.add_jobstore(self.jobs)
        self.add_executor(FireExecutor(self._batch, wiring, self.jobs.park))
        self.start()

    # ── The clock's work ──────────────────────────────────────────────────────────────────────────────────────────

    def step(self) -> float:
        """One round: renew the leadership, notice changes, fire what is due. Seconds until the next is needed, at most 1. Never raises."""
        renewal_s = self.leader.step()
        try:
            self._look()
            wait_s = self._round()
        except Exception as error:
            self._complain(error)
            return min(renewal_s, _RETRY_S)
        self._complain(None)
        return min(renewal_s, wait_s)

    def run(self, stop: Event) -> None:
        """Step until ``stop`` is set; then resign."""
        while not stop.is_set():
            stop.wait(self.step())
        self.leader.resign()

    def now_ms(self) -> int:
        """The store's clock."""
        return self._clock.now_ms()

    def _look(self) -> None:
        """Once a second: see whether the store's clock has stepped, and whether any definition has changed."""
        now = self._monotonic()
        if self._looked is not None and now - self._looked < _LOOK_S:
            return
        stepped_ms = self._clock.sample()
        if stepped_ms:
            _log.warning("the store's clock has stepped by %+d ms; what has fired is read again", stepped_ms)
            self._drop()
        self._notice(self._store.generation())
        self._looked = now

    def _notice(self, generation: int) -> None:
        if self._yaml is not None and generation < self._generation:
            _log.warning("the store has lost schedules; those of the configuration are entered again")
            self.sync_yaml(self._yaml)
        if generation != self._generation:
            self._generation = generation
            self._outdated = True

    def _round(self) -> float:
        if not self._flush():
            return _RETRY_S
        if self._outdated:
            self._load()
        if not self.leader.epoch:
            return _LOOK_S
        try:
            self._process_jobs()
        except BaseException:
            self._drop()  # some due jobs were taken, but not handed over
            raise
        self._batch.spread()
        if not self._flush():
            return _RETRY_S
        next_ms = self.jobs.next_ms
        return _LOOK_S if next_ms is None else min(_LOOK_S, max(0, next_ms - self.now_ms()) / 1000)

    def _load(self) -> None:
        self._outdated = False
        if self._rebuild:
            self._rebuild = False
            self.jobs.rebuild()
        try:
            self.jobs.load(self.now_ms())
        except BaseException:
            self._outdated = True
            raise

    def _flush(self) -> bool:
        """Whether the batch has gone. A stale epoch means that somebody else leads."""
        answer = self._batch.flush(self._renewed_epoch)
        if answer == "stale":
            self.leader.lose("the store refused its epoch")
        elif answer == "future":
            self._looked = None
        return answer == "ok"

    def _renewed_epoch(self) -> int:
        """A long batch must not outlast the lease."""
        self.leader.step()
        return self.leader.epoch

    def _drop(self) -> None:
        """What was not accepted yet is forgotten here; the store knows from where to go on."""
        self.jobs.forget(self._batch.drop())
        self._outdated = True

    def _complain(self, error: Exception | None) -> None:
        """One line when trouble begins and one when it ends. Fires that wait for longer than a lease are decided on anew."""
        now = self._monotonic()
        if error is None:
            if self._trouble:
                _log.info("the timer works again")
            self._trouble = ""
            return
        if not self._trouble:
            self._trouble_since = now
        text = f"{type(error).__name__}: {error}"
        if text != self._trouble:
            _log.warning("the timer cannot work and tries again: %s", text)
            _log.debug("where it happened", exc_info=error)
        self._trouble = text
        if now - self._trouble_since > self.leader.lease_ms / 1000:
            self._drop()
            self._trouble_since = now

    def aim(self, job: ScheduleJob) -> Plan:
        """What to fire of this job; one whose trigger fails is parked."""
        try:
            return job.aim(self.now_ms())
        except Exception as error:
            self.jobs.park(job.id, error)
            return NOTHING

    # ── Schedules, from any thread: they go through the store, so that every instance sees them ───────────────────

    def sync_yaml(self, schedules: Sequence[Schedule]) -> Changes:
        """Make YAML's schedules in the store those of the configuration; unchanged triggers keep their next fire."""
        self._yaml = schedules
        wanted = {schedule.name: schedule for schedule in schedules}
        changes = compare({name: schedule for name, (schedule, _) in self._store.load_schedules().items()}, schedules)
        self._store.save_schedules([wanted[name] for name in (*changes.added, *changes.changed)])
        self._store.remove_schedules(changes.removed)
        lines = list(changes.lines())
        for line in lines[:_MOST_LINES]:
            _log.info("schedule %s", line)
        if lines[_MOST_LINES:]:
            _log.info("and %d schedules more", len(lines) - _MOST_LINES)
        return changes

    def add(self, schedule: Schedule) -> None:
        """Add or replace a schedule of the API's. Raises what is wrong with its trigger; ConflictError when YAML has the name."""
        self.wiring.build(schedule)
        self._refuse_yaml(schedule.name)
        self._store.save_schedules([replace(schedule, source="api")])

    def remove(self, name: str) -> None:
        """Forget a schedule of the API's. UnknownScheduleError; ConflictError when it is YAML's."""
        self._find(name)
        self._refuse_yaml(name)
        self._store.remove_schedules([name])

    def pause(self, name: str) -> bool:
        """It fires no more; False when it was paused already. UnknownScheduleError."""
        self._find(name)
        return self._store.pause_schedule(name)

    def resume(self, name: str) -> bool:
        """It fires again, what fell due in between does not; False when it was not paused. UnknownScheduleError."""
        self._find(name)
        return self._store.pause_schedule(name, on=False)

    def reload(self, *, rebuild: bool = False) -> None:
        """Read all schedules again with the next step, and try again what is parked; ``rebuild``: the code of triggers has changed."""
        self._rebuild = self._rebuild or rebuild
        self._outdated = True

    def _refuse_yaml(self, name: str) -> None:
        known = self._store.get_schedule(name)
        if known and known.source == "yaml":
            raise ConflictError(f"schedule {name!r} is defined in YAML: change it there, or choose another name")

    def _find(self, name: str) -> None:
        if self._store.get_schedule(name) is None:
            near = get_close_matches(name, [*self.jobs.jobs, *self.jobs.parked], n=1)
            raise UnknownScheduleError(f"no schedule {name!r}" + (f", did you mean {near[0]!r}?" if near else ""))

    # ── What APScheduler demands ──────────────────────────────────────────────────────────────────────────────────

    def wakeup(self) -> None:
        """Nobody sleeps for longer than a second."""

    def shutdown(self, wait: bool = True) -> None:
        """Resign and end; ``wait`` has no meaning, as nothing runs here."""
        self.leader.resign()
        super().shutdown(wait)
