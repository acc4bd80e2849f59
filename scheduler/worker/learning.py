"""Learning: a worker takes up the tasks that programs add (``add_job``) while it serves, if it can import their code."""

import logging
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol

from scheduler.core.errors import PluginError
from scheduler.core.task import Task

log = logging.getLogger("scheduler.worker")


class AddedTasks(Protocol):
    """Where they are kept."""

    def all(self) -> Mapping[str, Task]: ...


class Learner:
    """``tasks`` are those of the worker, which it began with and which nobody replaces; ``enroll(names)`` tells the queue of more."""

    def __init__(
        self, tasks: MutableMapping[str, Task], added: AddedTasks, resolve: Callable[[str], Any], enroll: Callable[[Sequence[str]], Any]
    ) -> None:
        self._tasks = tasks
        self._own = set(tasks)
        self._added = added
        self._resolve = resolve
        self._enroll = enroll
        self._seen: Mapping[str, Task] = {}

    def step(self) -> None:
        """Take up what is new; raises what the store raises, and then tries again the next time."""
        added = self._added.all()
        if added is not self._seen:
            self.learn([task for task in added.values() if self._tasks.get(task.name) != task and task.name not in self._own])
            self._seen = added

    def learn(self, tasks: Sequence[Task]) -> None:
        """Know these from now on."""
        known = [task for task in tasks if self._can_run(task)]
        self._tasks.update((task.name, task) for task in known)
        if known:
            self._enroll([task.name for task in known])

    def _can_run(self, task: Task) -> bool:
        try:
            self._resolve(task.target)
        except PluginError as error:
            log.info("task %s was added by a program, and is for other workers: %s", task.name, error)
            return False
        return True
