"""What an attempt enters before it starts and leaves after it has ended: the log lines of the Run, and its GPUs.

``enter`` gives the job as the inner layers and the slot shall see it, or raises GateClosedError: not now. ``leave`` gets the job as
the slot saw it, whatever came of it. A layer is shared by all attempts of a task, from any thread.
"""

import logging
from collections.abc import Callable

from scheduler.core.clock import perf_counter
from scheduler.core.errors import GateClosedError
from scheduler.core.outcome import Kind, Outcome
from scheduler.core.ports import GpuBroker, Job
from scheduler.core.states import Reason
from scheduler.core.task import GpuNeed
from scheduler.decorators.log_execution import FAILED, STARTED, SUCCEEDED

WAITS = "任务 %s 未开始，等待: %s"
NO_GPU_RETRY_MS = 30_000  # a host without a broker will not grow one soon

OpenLog = Callable[[str, int], Callable[[bytes], object]]
_LINE = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")


class LogLayer:
    """A start line and an end line of each attempt: in the log of the Run, and as records of logger ``run.<task>``.

    The records carry run, task and attempt. ``open_log(run, attempt)`` gives what takes the bytes of the Run's log.
    """

    def __init__(self, open_log: OpenLog | None) -> None:
        self._open_log = open_log
        self._started_s: dict[str, float] = {}

    def enter(self, job: Job) -> Job:
        self._started_s[job.run] = perf_counter()
        self._log(job, logging.INFO, STARTED, job.task)
        return job

    def leave(self, job: Job, outcome: Outcome) -> None:
        seconds = perf_counter() - self._started_s.pop(job.run)
        if outcome.kind is Kind.OK:
            self._log(job, logging.INFO, SUCCEEDED, job.task, seconds)
        elif outcome.kind is Kind.GATED:
            self._log(job, logging.INFO, WAITS, job.task, outcome.reason)
        else:
            message = outcome.error.message if outcome.error else outcome.reason or outcome.kind.value
            self._log(job, logging.ERROR, FAILED, job.task, seconds, message)

    def _log(self, job: Job, level: int, text: str, *values: object) -> None:
        logger = logging.getLogger(f"run.{job.task}")
        extra = {"run": job.run, "task": job.task, "attempt": job.attempt}
        record = logger.makeRecord(logger.name, level, __file__, 0, text, values, None, extra=extra)
        if logger.isEnabledFor(level):
            logger.handle(record)
        if self._open_log is not None:
            self._open_log(job.run, job.attempt)((_LINE.format(record) + "\n").encode(errors="replace"))


class GpuLayer:
    """Holds the cards of an attempt, and shows the job those cards alone."""

    def __init__(self, need: GpuNeed, broker: GpuBroker | None) -> None:
        self._need, self._broker = need, broker

    def enter(self, job: Job) -> Job:
        if self._broker is None:
            raise GateClosedError(Reason.GPU_BUSY, NO_GPU_RETRY_MS, "this worker serves no GPU")
        cards = self._broker.reserve(job.run, self._need)
        # By UUID and in PCI order: numbers differ between the driver and CUDA, and change when a card drops out.
        env = {**job.env, "CUDA_VISIBLE_DEVICES": ",".join(cards), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        return job._replace(env=env, fresh=True)  # CUDA reads the list once per process, and does not survive a fork

    def leave(self, job: Job, outcome: Outcome) -> None:  # noqa: ARG002 - the cards go back whatever came of it
        if self._broker is not None:
            self._broker.release(job.run)
