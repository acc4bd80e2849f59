"""The worker's small chores, once a second: publish progress and logs, learn new tasks, hear cancels whose wake-up was lost."""

import logging
import threading

from scheduler.core.ports import WorkerQueue
from scheduler.core.run import Settlement
from scheduler.core.states import Reason, State
from scheduler.worker.learning import Learner
from scheduler.worker.loop import Worker
from scheduler.worker.output import Outputs

log = logging.getLogger("scheduler.worker")

CHECK_EVERY = 5  # rounds between two looks at what the store believes we hold, and at the tasks it has


class Progress:
    """The newest progress of each Run; the store hears of it at most once a second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._news: dict[str, tuple[int, int, str]] = {}
        self._tokens: dict[str, int] = {}  # of Runs in processes, which report without theirs

    def expect(self, run: str, token: int) -> None:
        """A process slot will report for this claim."""
        self._tokens[run] = token

    def report_of_child(self, run: str, percent: int, message: str) -> None:
        self.report(run, self._tokens.get(run, 0), percent, message)

    def report(self, run: str, token: int, percent: int, message: str) -> None:
        with self._lock:
            self._news[run] = (token, percent, message.encode(errors="replace").decode())

    def last(self, run: str) -> tuple[int, int, str] | None:
        """What is still unpublished of a Run that is over."""
        if not self._news and not self._tokens:
            return None
        with self._lock:
            self._tokens.pop(run, None)
            return self._news.pop(run, None)

    def take(self) -> dict[str, tuple[int, int, str]]:
        with self._lock:
            news, self._news = self._news, {}
        return news


class Housekeeper:
    """``step`` does one round and never raises."""

    def __init__(self, worker: Worker, queue: WorkerQueue, outputs: Outputs, progress: Progress, learner: Learner) -> None:
        self._worker = worker
        self._learner = learner
        self._queue = queue
        self._outputs = outputs
        self._progress = progress
        self._rounds = 0
        self._unknown: set[str] = set()

    def step(self) -> None:
        try:
            self.flush()
            self._rounds += 1
            if self._rounds % CHECK_EVERY == 1:
                self._learner.step()
                self._check()
        except Exception as error:
            log.debug("housekeeping: %s", error)  # the store is away; the conductor says so

    def flush(self) -> None:
        """Publish what is new."""
        for run, (token, percent, message) in self._progress.take().items():
            self._queue.report(run, token, percent, message)
        self._outputs.publish_new()

    def _check(self) -> None:
        """Hear cancels, and give back what the store says we hold but we do not know (twice in a row, so not just in transit)."""
        told, held = self._queue.cancels(self._worker.name)
        if told:
            self._worker.cancel(told)
        unknown = set() if self._worker.is_asking else set(held) - self._worker.held()
        forgotten = unknown & self._unknown
        self._unknown = unknown - forgotten
        if forgotten:
            log.warning("the store says that we hold %s; they go back to the queue", ", ".join(sorted(forgotten)))
            runs = [run for run in map(self._queue.get, sorted(forgotten)) if run is not None and run.worker == self._worker.name]
            self._queue.settle([Settlement(run.id, run.claims, State.PENDING, Reason.LOST, burn=False) for run in runs])
