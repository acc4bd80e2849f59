"""Builds a worker out of its parts: the same for a worker process and for a worker inside the user's own program."""

import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

from scheduler.core.outcome import Outcome
from scheduler.core.ports import Enrolment, Handle, Job
from scheduler.core.task import Task
from scheduler.decorators.stack import layers_for
from scheduler.plugins.loader import resolve
from scheduler.queue import AddedTasks, RunQueue, WakeLine
from scheduler.worker.aio import AsyncSlots
from scheduler.worker.housekeeping import Housekeeper, Progress
from scheduler.worker.learning import Learner
from scheduler.worker.loop import Worker
from scheduler.worker.output import Outputs
from scheduler.worker.processes import ProcessRunner
from scheduler.worker.slots import Limits, Means

log = logging.getLogger("scheduler.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """What a worker needs to know; survives a trip through JSON (``WorkerPlan(**json.loads(text))``)."""

    name: str
    centre: str
    url: str
    tasks: list[dict[str, Any]]
    queues: list[str]
    slots: list[int]
    plugins: str
    logs: str
    lease_ms: int
    max_memory: int = 0  # bytes; 0: no bound
    host_pid: int = 0  # the process whose descendants are our workers
    pid: int = 0


@dataclass(frozen=True, slots=True)
class BuiltWorker:
    """A worker, and those who serve it."""

    worker: Worker
    housekeeper: Housekeeper
    runner: ProcessRunner
    coroutines: AsyncSlots
    enrolment: Enrolment
    learner: Learner
    tasks: dict[str, Task]

    def close(self) -> None:
        self.worker.close()
        self.coroutines.close()
        self.runner.close(2.0)


def build_worker(plan: WorkerPlan, queue: RunQueue, chores: RunQueue, announce: Callable[[float], None] = lambda _: None) -> BuiltWorker:
    """``queue`` is for the conductor's turns alone; ``chores`` (another client) for everything beside them.

    ``announce`` hears of the nearest deadline of a thread (monotonic seconds) each time it changes.
    """
    tasks = {task.name: task for task in map(Task.from_dict, plan.tasks)}
    progress = Progress()
    outputs = Outputs(Path(plan.logs), chores.save_log)
    runner = ProcessRunner(
        resolver="scheduler.plugins.loader:resolve",
        prepare="scheduler.plugins.loader:use_folder",
        plugins=plan.plugins,
        idle_max=plan.slots[1],
        on_output=outputs.write,
        on_progress=progress.report_of_child,
    )
    coroutines = AsyncSlots()
    means = Means(
        resolve=lru_cache(4096)(resolve),
        layers_for=_layers(chores, plan.host_pid),
        start_process=partial(_start_process, runner, outputs, progress),
        start_async=coroutines.start,
        open_output=outputs.open,
        close_output=partial(_close, chores, outputs, progress),
        report=progress.report,
        announce=announce,
    )
    wake = WakeLine(chores.client, chores.wake_key(plan.name))
    worker = Worker(plan.name, queue, wake, tasks, Limits(*plan.slots), means)
    enrolment = Enrolment(plan.name, socket.gethostname(), plan.pid, sum(plan.slots), plan.queues, list(tasks))
    learner = Learner(tasks, AddedTasks(chores), resolve, lambda more: chores.enroll(enrolment._replace(tasks=more), plan.lease_ms))
    return BuiltWorker(worker, Housekeeper(worker, chores, outputs, progress, learner), runner, coroutines, enrolment, learner, tasks)


def _start_process(runner: ProcessRunner, outputs: Outputs, progress: Progress, job: Job, done: Callable[[Outcome], None]) -> Handle:
    outputs.expect(job.run, job.attempt)
    progress.expect(job.run, job.token)
    return runner.start(job, done)


def _close(queue: RunQueue, outputs: Outputs, progress: Progress, run: str) -> None:
    """The last of a Run's output and progress is published before it is settled."""
    outputs.close(run)
    if news := progress.last(run):
        try:
            queue.report(run, *news)
        except Exception as error:
            log.debug("progress of %s: %s", run, error)


def _layers(reservations: RunQueue, host_pid: int) -> Callable[[Task], Any]:
    """The layers of each task, made once; the GPU's inventory only where a task asks for a card."""

    @cache
    def broker() -> Any:
        from scheduler.gpu import Broker, NvmlInventory

        return Broker(NvmlInventory(root_pid=host_pid or None), reservations)

    made: dict[str, tuple[Task, Any]] = {}

    def layers(task: Task) -> Any:
        known = made.get(task.name)
        if known is None or known[0] is not task:  # a program may replace the tasks it has added
            known = made[task.name] = (
                task,
                layers_for(task, broker() if task.gpu else None),
            )  # RunLogHandler brings its lines to the Run's log
        return known[1]

    return layers
