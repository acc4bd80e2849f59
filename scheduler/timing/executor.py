"""FireExecutor: where APScheduler hands over due jobs. It runs no user code; it only adds their fires to the batch."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from apscheduler.executors.base import BaseExecutor

from scheduler.core.run import Fire
from scheduler.core.task import Schedule
from scheduler.timing.batch import Batch
from scheduler.timing.catchup import Plan
from scheduler.timing.job import ScheduleJob
from scheduler.timing.wiring import Wiring


class FireExecutor(BaseExecutor):  # type: ignore[misc]  # the library is untyped
    """A schedule whose Submission cannot be made goes to ``park`` with the error; nothing of it is in the batch then."""

    def __init__(self, batch: Batch, wiring: Wiring, park: Callable[[str, Exception], None]) -> None:
        super().__init__()
        self._batch = batch
        self._wiring = wiring
        self._park = park

    def submit_job(self, job: ScheduleJob, run_times: list[datetime]) -> None:
        """Never raises, as APScheduler would lose the fires; how many Runs may go on at once is decided in the store."""
        try:
            self._do_submit_job(job, run_times)
        except Exception as error:
            self._park(job.id, error)

    def _do_submit_job(self, job: ScheduleJob, run_times: list[datetime]) -> None:  # noqa: ARG002 - the plan has them in ms
        self._batch.add(list(self._fires(job.schedule, job.plan, job.built.jitter_ms)), late=job.plan.late)

    def _fires(self, schedule: Schedule, plan: Plan, jitter_ms: int) -> Any:
        following = [shot.instant_ms for shot in plan.shots[1:]]
        following.append(plan.next_ms or 0)
        for shot, next_ms in zip(plan.shots, following, strict=True):
            submission = self._wiring.submission(schedule, shot.instant_ms)
            if jitter_ms:
                submission = replace(submission, delay_ms=self._wiring.jitter(schedule.name, shot.instant_ms, jitter_ms))
            yield Fire(
                schedule.name,
                shot.instant_ms,
                shot.previous_ms,
                next_ms,
                submission,
                schedule.overlap,
                schedule.max_instances,
                shot.missed,
                shot.missed_reason,
                shot.make_run,
            )
