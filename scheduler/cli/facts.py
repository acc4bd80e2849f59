"""What the configuration, the plugins and the store say together, as plain facts: of Runs, tasks, queues and workers."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from scheduler.core.errors import RunNotFoundError, SchedulerError, UnknownTaskError
from scheduler.core.nearest import did_you_mean

if TYPE_CHECKING:
    from scheduler.center import SchedulerCenter
    from scheduler.cli.session import Session
    from scheduler.core.run import Run
    from scheduler.core.task import Schedule
    from scheduler.queue.stats import Stats

Fact = dict[str, Any]

RUN = "id task state reason created duration_ms outcome"  # the columns of a Run in a table


def run_of(center: "SchedulerCenter", run_id: str) -> "Run":
    """The Run, or RunNotFoundError."""
    run = center.get_run(run_id)
    if run is None:
        raise RunNotFoundError(f"no Run {run_id!r}: the id is wrong, or it ended so long ago that the live store let it go")
    return run


def run_facts(session: "Session", run: "Run") -> Fact:
    """A Run; ``outcome`` is its result, or its error in one line."""
    facts = {key.removesuffix("_ms"): session.when(value) if key.endswith("_ms") else value for key, value in asdict(run).items()}
    duration_ms = run.ended_ms - run.started_ms if run.started_ms and run.ended_ms else None
    return facts | {"duration_ms": duration_ms, "outcome": f"{run.error['type']}: {run.error['message']}" if run.error else run.result}


class Tasks:
    """The tasks of the configuration, and the schedules that programs have made."""

    def __init__(self, session: "Session", center: "SchedulerCenter") -> None:
        self._session, self._center = session, center
        self._entries = session.settings.tasks
        self._stored = center.book.load_schedules()
        self._paused, self._held = center.queue.paused("schedule"), center.queue.paused("task")
        self.names = sorted({*self._entries, *(name for name, (schedule, _) in self._stored.items() if schedule.source == "api")})

    def schedule(self, name: str) -> "Schedule | None":
        """When the task fires; None: only when submitted. UnknownTaskError names the nearest."""
        require_name(name, self.names, UnknownTaskError, "task")
        entry = self._entries.get(name)
        return entry.to_schedule(self._session.settings.scheduler) if entry else self._stored[name][0]

    def row(self, name: str) -> Fact:
        from scheduler.triggers import describe

        schedule, entry = self.schedule(name), self._entries.get(name)
        own = {key: getattr(entry.config, key) for key in ("executor", "queue", "description")} if entry else {}
        words = describe(schedule.trigger, schedule.args, schedule.timezone, self._session.lang) if schedule else ""
        facts = {"name": name, "state": self._state(name), "broken": self._center.catalogue.broken.get(name, ""), "trigger": words}
        return facts | {"next": next(iter(self.next(name, 1)), None)} | own

    def details(self, name: str) -> Fact:
        """The row, the whole policy as it is in force, and the layers around ``run``."""
        from scheduler.decorators.stack import effective_stack

        row = self.row(name)
        schedule, task = self.schedule(name), self._center.find_task(name)
        layers = [layer._asdict() for layer in effective_stack(task)] if task else []
        return row | (task.to_dict() if task else {}) | {"schedule": schedule.to_dict() if schedule else None, "layers": layers}

    def next(self, name: str, count: int) -> list[datetime | None]:
        """The next instants at which it fires; none while it is paused or broken."""
        from scheduler.catalogue import trigger_of
        from scheduler.triggers import next_fires

        schedule = self.schedule(name)
        if schedule is None or name in self._paused or name in self._center.catalogue.broken:
            return []
        settled_ms = self._stored[name][1].last_ms if name in self._stored else 0
        instants = next_fires(trigger_of(schedule), max(settled_ms, self._center.book.now_ms()), count)
        return [self._session.when(instant_ms) for instant_ms in instants]

    def _state(self, name: str) -> str:
        if name in self._entries and not self._entries[name].config.enabled:
            return "disabled"
        if name in self._center.catalogue.broken:
            return "broken"
        return "held" if name in self._held else "paused" if name in self._paused else "ok"


def stats_of(center: "SchedulerCenter") -> "Stats":
    from scheduler.queue.stats import read_stats

    return read_stats(center.queue)


def queue_facts(session: "Session", center: "SchedulerCenter", stats: "Stats") -> dict[str, Fact]:
    """Every queue that a Run has been in, that is paused, or that a task names."""
    paused = center.queue.paused("queue")
    names = {*stats.queues, *paused, *(entry.config.queue for entry in session.settings.tasks.values())}
    rows = {name: {"name": name, "waiting": 0, "oldest_wait_ms": 0, "paused": name in paused} for name in sorted(names)}
    for name, queue in stats.queues.items():
        rows[name] |= {"waiting": queue.depth, "oldest_wait_ms": queue.oldest_wait_ms, "order": queue.order}
    return rows


def held_back(session: "Session", stats: "Stats") -> list[Fact]:
    """Runs behind a closed gate: why, and until when."""
    return [{"lane": of.lane, "reason": of.reason, "until": session.when(of.until_ms), "waiting": of.depth} for of in stats.closed]


def worker_facts(session: "Session", center: "SchedulerCenter", stats: "Stats") -> list[Fact]:
    """Workers with a lease. ``lease_age_ms``: since its renewal, by the store's clock, where its ``worker.lease`` is as here."""
    from scheduler.queue.signs import read_signs

    queue, lease_ms = center.queue, round(session.settings.worker.lease.total_seconds() * 1000)
    _, seen = read_signs(queue, list(stats.workers), stats.now_ms)
    rows = []
    for worker, signs in seen.items():
        known = queue.client.hgetall(f"{queue.prefix}w:{worker}")
        place = {"host": known.get("host", ""), "pid": int(known.get("pid", 0)), "slots": int(known.get("slots", 0))}
        work = {
            "queues": known.get("queues", "").strip(","),
            "running": signs.runs,
            "started": session.when(float(known.get("started", 0))),
        }
        rows.append({"id": worker, **place, **work, "lease_age_ms": max(0, lease_ms - signs.lease_ms)})
    return rows


def someone_knows(center: "SchedulerCenter", workers: Iterable[str], task: str) -> bool:
    """Whether any of the workers can run the task: a worker knows those that were configured when it started."""
    queue = center.queue
    return any(queue.client.sismember(f"{queue.prefix}knows:{worker}", task) for worker in workers)


def require_name(name: str, known: Iterable[str], error: type[SchedulerError], kind: str) -> None:
    """``error`` unless ``name`` is known; it says the nearest that is."""
    names = sorted(known)
    if name not in names:
        raise error(f"no {kind} named {name!r}{did_you_mean(name, names)}; known are: {', '.join(names) or 'none'}")
