"""Tasks that programs have added (``add_job``): no configuration has them, the store has, so that every instance can run them."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping

from scheduler.core.clock import monotonic
from scheduler.core.task import Task
from scheduler.queue.runqueue import RunQueue

FRESH_S = 1.0
_log = logging.getLogger(__name__)


class AddedTasks:
    """What was read holds for a second, and beyond that until some definition has changed."""

    def __init__(self, queue: RunQueue, clock: Callable[[], float] = monotonic) -> None:
        self._queue = queue
        self._clock = clock
        self._tasks: Mapping[str, Task] = {}
        self._generation = ""
        self._fresh_until = 0.0

    def all(self) -> Mapping[str, Task]:
        """By name; the very same object as long as nothing has changed."""
        if self._clock() >= self._fresh_until:
            if changed := self._queue.functions.call("added", self._generation):
                self._generation, found = changed
                self._tasks = _tasks(zip(found[::2], found[1::2], strict=True))
            self._fresh_until = self._clock() + FRESH_S
        return self._tasks

    def forget(self) -> None:
        """Something has changed: look again."""
        self._fresh_until = 0.0


def _tasks(definitions: Iterable[tuple[str, str]]) -> dict[str, Task]:
    tasks = {}
    for name, text in definitions:
        try:
            tasks[name] = Task.from_dict(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            _log.warning("task %s: its definition in the store cannot be read and is left alone: %s", name, error)
    return tasks
