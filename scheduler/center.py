"""SchedulerCenter: the public surface. It wires the parts; nothing connects before it is needed, nothing starts before ``start``."""

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from scheduler.catalogue import Catalogue, read_catalogue, use_plugins
from scheduler.core.clock import monotonic
from scheduler.core.errors import ConflictError, PluginError, RunNotFoundError, UnknownTaskError, WaitTimeoutError
from scheduler.core.ids import NAME
from scheduler.core.nearest import did_you_mean
from scheduler.core.run import Run
from scheduler.core.task import Schedule, Task
from scheduler.intake import Intake, Request
from scheduler.jobs import Job, Jobs
from scheduler.plugins.params import check_params
from scheduler.queue import AddedTasks, RunQueue, ScheduleBook
from scheduler.settings import Settings, load_settings
from scheduler.store import Store, open_store

if TYPE_CHECKING:
    from scheduler.roles import Roles

log = logging.getLogger("scheduler")

ROLES = ("timer", "worker")


class SchedulerCenter:
    """One centre, as its configuration describes it.

    ``config``: the path of an env.yaml (default: ``SCHEDULER_CONFIG``, else ``env.yaml`` in the working directory), or Settings.
    Raises ConfigError with every mistake in it. Inside another program, ``start`` runs timer and worker in this process.
    """

    def __init__(self, config: str | Path | Settings | None = None) -> None:
        self.settings = config if isinstance(config, Settings) else load_settings(config)
        self.instance = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self._lock = threading.RLock()
        self._store: Store | None = None
        self._roles: Roles | None = None
        self._catalogue: Catalogue | None = None
        self._unprobed: dict[str, Task] = {}

    # ── Parts ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def store(self) -> Store:
        """The live store; started or connected at the first use. StoreError says what is wrong with it and the cure."""
        with self._lock:
            if self._store is None:
                redis = self.settings.redis
                url = redis.url.get_secret_value()
                self._store = open_store(url, redis.data_dir, client_name=self.instance, allow_volatile=redis.allow_volatile)
            return self._store

    @cached_property
    def queue(self) -> RunQueue:
        return RunQueue(self.store.client, self.settings.scheduler.name)

    @cached_property
    def book(self) -> ScheduleBook:
        return ScheduleBook(self.queue)

    @property
    def catalogue(self) -> Catalogue:
        """Tasks, schedules and broken plugins; the plugins are probed at the first use."""
        with self._lock:
            if self._catalogue is None:
                use_plugins(self.settings)
                self._catalogue = read_catalogue(self.settings)
            return self._catalogue

    @cached_property
    def _added(self) -> AddedTasks:
        return AddedTasks(self.queue)

    @cached_property
    def _intake(self) -> Intake:
        return Intake(self.queue, self.task, self._misfits)

    @cached_property
    def _jobs(self) -> Jobs:
        return Jobs(self)

    def task(self, name: str) -> Task:
        """The task of this name; UnknownTaskError names the nearest. Its plugin need not be loaded for that."""
        if self._catalogue is not None and name in self._catalogue.tasks:
            return self._catalogue.tasks[name]
        if name in self._unprobed:
            return self._unprobed[name]
        entry = self.settings.tasks.get(name)
        if entry is None or not entry.config.enabled:
            added = self._added.all()
            if name in added:
                return added[name]
            known = {*added, *(name for name, entry in self.settings.tasks.items() if entry.config.enabled)}
            hint = f"; it is switched off at {entry.where('enabled')}" if entry else did_you_mean(name, known)
            raise UnknownTaskError(f"no task named {name!r}{hint}; known are: {', '.join(sorted(known)) or 'none'}")
        self._unprobed[name] = entry.to_task(entry.module, {})
        return self._unprobed[name]

    def find_task(self, name: str) -> Task | None:
        """The task of this name, or None."""
        try:
            return self.task(name)
        except UnknownTaskError:
            return None

    def _misfits(self, task: Task, params: Mapping[str, Any]) -> list[str]:
        """Checked where the plugins are loaded; elsewhere the attempt itself says what does not fit. PluginError: it cannot run at all."""
        if self._catalogue and task.name in self._catalogue.broken:
            raise PluginError(self._catalogue.broken[task.name])
        found = self._catalogue.probes.get(task.name) if self._catalogue else None
        return check_params(found, params) if found else []

    # ── Life ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_running(self) -> bool:
        return self._roles is not None

    @property
    def roles(self) -> "Roles":
        """The roles at work in this process; RuntimeError ``调度器未运行`` when it was not started."""
        if self._roles is None:
            raise RuntimeError("调度器未运行")
        return self._roles

    def start(self, roles: Sequence[str] = ROLES) -> None:
        """Load the tasks and start the roles in this process; a second call only warns."""
        from scheduler.roles import Roles

        with self._lock:
            if self._roles is not None:
                log.warning("调度器已经在运行中")
                return
            try:
                for name, reason in self.catalogue.broken.items():
                    log.error("加载任务失败 %s: %s", name, reason)
                self.queue.define(list(self.catalogue.tasks.values()))
                self._roles = Roles(self)
                self._roles.start(roles)
            except Exception as error:
                log.error("调度器启动失败: %s", error)  # noqa: TRY400  # whoever called gets the traceback
                self._close(wait=False)  # the embedded store, too: whoever gives up now must leave no server behind
                raise
            log.info("调度器启动成功")

    def shutdown(self, wait: bool = True) -> None:
        """Stop what was started; ``wait``: let running attempts end within ``worker.shutdown_timeout``. Harmless when not running."""
        with self._lock:
            was_running = self.is_running
            self._close(wait=wait)
            if was_running:
                log.info("调度器已关闭")

    def _close(self, *, wait: bool) -> None:
        roles, self._roles = self._roles, None
        if roles is not None:
            roles.stop(self.settings.worker.shutdown_timeout.total_seconds() if wait else 0.0)
        if self._store is not None:
            self._store.close()
            self._store = None
            for part in ("queue", "book", "_added", "_intake", "_jobs"):
                self.__dict__.pop(part, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    # ── Runs ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def submit(
        self,
        task: str,
        params: Mapping[str, Any] | None = None,
        *,
        priority: int | None = None,
        delay: float | str = 0,
        at: datetime | None = None,
        run_id: str | None = None,
        key: str | None = None,
    ) -> str:
        """Ask for one Run; its id. It is stored when this returns.

        ``delay``: seconds or ``"5m"``. ``at``: an aware datetime. ``key``: an idempotency key; the same key and body within 24 h give the
        same Run, another body a ConflictError. UnknownTaskError, ParamsError and IntakeClosedError say what is wrong.
        """
        return self._intake.submit([Request(task, params, priority, delay, at, run_id, key)])[0]

    def submit_many(self, requests: Sequence[Any]) -> list[str]:
        """Thousands of Runs in one call: ``("task", {params})`` or ``{"task": …, "params": …, "priority": …}`` each; their ids."""
        return self._intake.submit([Request.of(request) for request in requests])

    def get_run(self, run_id: str) -> Run | None:
        return self.queue.get(run_id)

    def wait(self, run_id: str, timeout: float = 30) -> Run:
        """The Run once it has ended; WaitTimeoutError after ``timeout`` seconds, RunNotFoundError when there is none."""
        deadline = monotonic() + timeout
        pause = threading.Event()
        delay = 0.002
        while True:
            run = self.queue.get(run_id)
            if run is None:
                raise RunNotFoundError(f"no Run {run_id!r}: the id is wrong, or it ended so long ago that the live store let it go")
            if run.ended:
                return run
            if monotonic() >= deadline:
                raise WaitTimeoutError(f"Run {run_id} is {run.state} after {timeout:g} s")
            pause.wait(min(delay, max(0.0, deadline - monotonic())))
            delay = min(delay * 1.5, 0.1)

    def cancel(self, run_id: str, reason: str = "") -> bool:
        """End a waiting Run, tell a running one to stop; False when it has ended otherwise."""
        answer = self.queue.cancel(run_id, reason or "cancelled")
        if answer == "gone":
            raise RunNotFoundError(f"no Run {run_id!r}")
        return answer != "ended"

    def retry(self, run_id: str) -> str:
        """Start a failed, dead or cancelled Run over, under its own id."""
        answer = self.queue.retry(run_id)
        if answer == "gone":
            raise RunNotFoundError(f"no Run {run_id!r}")
        if answer != "ok":
            wrong = "it succeeded; submit a new one instead" if answer == "succeeded" else "it has not ended"
            raise ConflictError(f"Run {run_id} cannot be retried: {wrong}")
        return run_id

    # ── Schedules ─────────────────────────────────────────────────────────────────────────────────────────────────

    def add_job(self, func: Callable[..., Any] | str, trigger: str, **kwargs: Any) -> Job:
        """Schedule ``func`` (importable: ``module:function`` or a function of a module), as in APScheduler; see ``jobs.Jobs.add``."""
        return self._jobs.add(func, trigger, **kwargs)

    def remove_job(self, job_id: str) -> None:
        self._jobs.remove(job_id)
        self._added.forget()

    def pause_job(self, job_id: str) -> None:
        self._jobs.pause(job_id, on=True)

    def resume_job(self, job_id: str) -> None:
        self._jobs.pause(job_id, on=False)

    def get_jobs(self) -> list[Job]:
        """The schedules with their next fire; [] when not running."""
        return self._jobs.all() if self.is_running else []

    def add_schedules(self, schedules: Sequence[Schedule]) -> None:
        """Many schedules of known tasks at once, kept in the store; every instance sees them."""
        for schedule in schedules:
            self.task(schedule.task)
            if not NAME.fullmatch(schedule.name):
                raise ValueError(f"{schedule.name!r} is no name of a schedule: small letters, digits, _ . -, at most 64")
        self.book.save_schedules(schedules)

    def stats(self) -> dict[str, Any]:
        """The numbers of the queue now; see ``queue.stats``."""
        from scheduler.queue.stats import read_stats

        return read_stats(self.queue).to_dict()

    def learn(self, task: Task) -> None:
        """A task that no configuration has (``add_job``): the worker in this process can run it at once, others within seconds."""
        self.queue.define([task], added=True)
        self._added.forget()
        if self._roles is not None:
            self._roles.learn(task)
