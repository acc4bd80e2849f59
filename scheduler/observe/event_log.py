"""The log of the service: a line for each Run that ended by itself, and for each attempt that will be followed by another."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from scheduler.core.clock import monotonic
from scheduler.core.events import Event
from scheduler.core.run import Run
from scheduler.core.states import Reason, State
from scheduler.observe.safe_text import one_line

LOGGER = "scheduler.runs"
LINES_PER_S = 100  # of each level: a line costs 0.1 ms, and thousands of Runs may end in a second
ERROR_CHARACTERS = 500

log = logging.getLogger(LOGGER)

_LEVELS: Mapping[str, int] = {
    State.SUCCEEDED.value: logging.INFO,
    State.DELAYED.value: logging.WARNING,  # after an attempt that failed
    State.FAILED.value: logging.ERROR,
    State.DEAD.value: logging.ERROR,
}
_FAILED = frozenset({Reason.ERROR, Reason.TIMED_OUT, Reason.CRASHED, Reason.OOM})
_MORE = {
    logging.INFO: "这一秒内另有 %d 次执行成功，未逐条记录",
    logging.WARNING: "这一秒内另有 %d 次尝试失败，未逐条记录",
    logging.ERROR: "这一秒内另有 %d 次执行失败，未逐条记录",
}


class EventLog:
    """A watcher. Records carry run, task, attempt, duration_ms and reason; what goes beyond LINES_PER_S is counted in one line.

    ``find`` gives the Run of an id; it is asked about those alone that were claimed more than once, for which attempt this was.
    """

    def __init__(self, find: Callable[[str], Run | None], clock: Callable[[], float] = monotonic) -> None:
        self._find, self._clock = find, clock
        self._second = int(clock())
        self._written: Counter[int] = Counter()  # lines of this second, by level
        self._untold: Counter[int] = Counter()

    def observe(self, events: Sequence[Event]) -> None:
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._written.clear()
            self.sum_up()
        for event in events:
            level = _LEVELS.get(event.type)
            if level is None or not log.isEnabledFor(level) or (level == logging.WARNING and event.reason not in _FAILED):
                continue
            if self._written[level] < LINES_PER_S:
                self._written[level] += 1
                self._write(level, event)
            else:
                self._untold[level] += 1

    def sum_up(self) -> None:
        """Tell how many had no line of their own."""
        for level, count in self._untold.items():
            log.log(level, _MORE[level], count, extra={"count": count})
        self._untold.clear()

    def _write(self, level: int, event: Event) -> None:
        attempt = self._attempt(event)
        facts = {"run": event.subject, "task": event.task, "attempt": attempt, "duration_ms": event.duration_ms, "reason": event.reason}
        if level == logging.INFO:
            log.info("任务 %s 执行成功", event.task, extra=facts)
        elif level == logging.WARNING:
            log.warning("任务执行失败 (第%d次尝试): %s: %s", attempt, event.task, _error(event), extra=facts)
        else:
            log.error("任务 %s 执行失败: %s", event.task, _error(event), extra=facts)

    def _attempt(self, event: Event) -> int:
        """The claims that count: a hand-back, a closed gate or a lost worker used up none."""
        if event.token < 2:
            return event.token
        try:
            run = self._find(event.subject)
        except Exception:
            run = None  # the store is away just now: better a number too high than no line
        return max(1, event.token - (run.claims - run.attempt)) if run else event.token


def _error(event: Event) -> str:
    """``ValueError: no data``, or the reason where nothing was raised."""
    try:
        detail = json.loads(event.detail or "null")
    except ValueError:
        detail = None
    text = f"{detail['type']}: {detail.get('message', '')}" if isinstance(detail, dict) and "type" in detail else event.reason
    return one_line(text, ERROR_CHARACTERS)
