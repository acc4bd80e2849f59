"""Prometheus metrics of the centre: one registry, fed by events in batches and by snapshots of what only a look can tell."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, generate_latest

from scheduler.core.events import Event
from scheduler.core.ids import fire_instant
from scheduler.core.states import Reason, State
from scheduler.decorators.task_metrics import TaskMetrics, collector

STATES = ("stopped", "running", "paused")
LAGS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600)

_STATES = frozenset(state.value for state in State)
_REASONS = frozenset(reason.value for reason in Reason) | {""}
_FAILED = frozenset({Reason.ERROR, Reason.TIMED_OUT, Reason.CRASHED, Reason.OOM, Reason.LOST, Reason.POISON})
_ENDED_BADLY = frozenset({State.FAILED, State.DEAD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The centre at one moment. ``queues``: name → (waiting Runs, seconds the oldest has waited)."""

    version: str
    timezone: str
    state: Literal["stopped", "running", "paused"] = "running"
    jobs_count: int = 0
    queues: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    workers: int = 0
    leader: bool = False
    store_up: bool = True
    takeover_s: float = 0.0  # from the loss of the last leader to this one's first step; 0: no takeover seen


class _Series:
    """The metric children of one ``task_name``, looked up once, for ``labels()`` costs as much as all the rest."""

    __slots__ = ("duration", "failures", "running", "successes")

    def __init__(self, metrics: TaskMetrics, label: str) -> None:
        self.successes = metrics.executions.labels(label, "success")
        self.failures = metrics.executions.labels(label, "failure")
        self.duration = metrics.duration.labels(label)
        self.running: set[str] = set()  # ids of Runs: what makes active_tasks exact
        metrics.active.labels(label).set_function(partial(len, self.running))


class Metrics:
    """All metrics of one centre. ``registry``: where they live; None makes one of their own. Building twice on one registry is harmless.

    Not thread-safe: one subscriber calls ``observe``, and anybody may call ``render``.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._tasks = TaskMetrics(self.registry)
        self._series: dict[str, _Series] = {}  # by label
        self._labels: Mapping[str, str] = {}  # of tasks, where they are not their names
        self._running: dict[str, str] = {}  # Run id → task
        self._queues: set[str] = set()
        make = partial(collector, self.registry)
        self._runs = make(Counter, "scheduler_runs_total", "Changes of state of Runs, by the state entered.", ("state", "reason"))
        self._missed = make(Counter, "scheduler_missed_total", "Due instants of schedules that got no Run.", ("schedule", "reason"))
        self._lag = make(Histogram, "scheduler_schedule_lag_seconds", "From the due instant to the Run.", buckets=LAGS_S)
        self._depth = make(Gauge, "scheduler_queue_depth", "Runs that wait in the queue.", ("queue",))
        self._oldest = make(Gauge, "scheduler_queue_oldest_wait_seconds", "How long the first Run in line has waited.", ("queue",))
        self._workers = make(Gauge, "scheduler_workers", "Workers with a valid lease.")
        self._store = make(Gauge, "scheduler_store_up", "1 while the store answers; 0: its numbers are not known now.")
        self._leader = make(Gauge, "scheduler_leader", "1 on the instance that fires the schedules, else 0.")
        self._takeover = make(Gauge, "scheduler_takeover_seconds", "How long the last change of leader left nobody leading.")
        self._info = make(Info, "scheduler", "Version, time zone and number of jobs.")
        self._state = make(Enum, "scheduler_state", "State of the scheduler.", states=list(STATES))

    def relabel(self, labels: Mapping[str, str]) -> None:
        """Task name → the ``task_name`` that @monitor_task gives it; tasks that are not named here keep their own."""
        self._labels = dict(labels)
        self.resync(self._running)

    def resync(self, running: Mapping[str, str]) -> None:
        """What runs now by the store (Run id → task): after a start, or a gap in the events."""
        for series in self._series.values():
            series.running.clear()
        self._running = dict(running)
        for run, task in self._running.items():
            self._series_of(task).running.add(run)

    def observe(self, events: Iterable[Event]) -> None:
        """Count a batch of events, each once, in the order of the stream."""
        moves: dict[tuple[str, str], int] = {}
        for event in events:
            kind = event.type
            if kind == "missed" or (kind == State.SKIPPED and event.detail.startswith('{"instant"')):
                self._miss(event)  # a word about a schedule, not about a Run
            elif kind in _STATES:
                move = (kind, event.reason)
                moves[move] = moves.get(move, 0) + 1
                self._follow(event)
        for (state, reason), count in moves.items():
            self._runs.labels(state, reason if reason in _REASONS else "other").inc(count)

    def _follow(self, event: Event) -> None:
        """Where one Run is now: an attempt began or ended, or a fire has become a Run."""
        run, task = event.subject, self._running.pop(event.subject, None)
        if task is not None:
            self._series_of(task).running.discard(run)
        if event.type == State.RUNNING:  # where it ran already, its end was never told
            self._running[run] = event.task
            self._series_of(event.task).running.add(run)
        elif task is not None or event.duration_ms:  # without a task it began before this process did
            self._measure(event, self._series_of(task or event.task))
        elif event.type == State.PENDING and not event.reason and (instant_ms := fire_instant(run)) is not None:
            self._lag.observe(max(0, event.ms - instant_ms) / 1000)

    def _measure(self, event: Event, series: _Series) -> None:
        """Count an attempt that came to an end by itself; one that was cancelled or handed back is neither success nor failure."""
        if event.type == State.SUCCEEDED:
            series.successes.inc()
        elif event.type in _ENDED_BADLY or event.reason in _FAILED:
            series.failures.inc()
        else:
            return
        if event.duration_ms:  # nobody knows it of a lost one
            series.duration.observe(event.duration_ms / 1000)

    def _miss(self, event: Event) -> None:
        count = json.loads(event.detail).get("count", 1) if event.detail else 1
        self._missed.labels(event.subject, event.reason if event.reason in _REASONS else "other").inc(count)

    def _series_of(self, task: str) -> _Series:
        label = self._labels.get(task, task)
        series = self._series.get(label)
        if series is None:
            series = self._series[label] = _Series(self._tasks, label)
        return series

    def update(self, snapshot: Snapshot) -> None:
        """Set the gauges; queues that are gone lose theirs."""
        for name, (depth, oldest_s) in snapshot.queues.items():
            self._depth.labels(name).set(depth)
            self._oldest.labels(name).set(oldest_s)
        for gone in self._queues - snapshot.queues.keys():
            self._depth.remove(gone)
            self._oldest.remove(gone)
        self._queues = set(snapshot.queues)
        self._workers.set(snapshot.workers)
        self._store.set(snapshot.store_up)
        self._leader.set(snapshot.leader)
        self._takeover.set(snapshot.takeover_s)
        self._info.info({"version": snapshot.version, "timezone": snapshot.timezone, "jobs_count": str(snapshot.jobs_count)})
        self._state.state(snapshot.state)

    def render(self) -> bytes:
        """The text that Prometheus scrapes (``text/plain; version=0.0.4``)."""
        return generate_latest(self.registry)
