"""BaseTask: for tasks that like hooks; a plain ``run()`` function does as well."""

import logging
from abc import ABC, abstractmethod
from typing import Any


class BaseTask(ABC):
    """Subclass it, implement ``execute``, and name the class in the task file: ``module: my_plugin:MyTask``.

    A new object is made for each attempt. The order of calls: ``on_retry`` (from the second attempt on), ``validate_params``,
    ``execute``, then ``on_success`` or ``on_failure``, and ``cleanup`` always.
    """

    def __init__(self) -> None:
        self.task_name = self.__class__.__name__
        self.logger = logging.getLogger(f"plugin.{self.task_name}")

    @abstractmethod
    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work with the task's params as keyword arguments; return any JSON value, raise to fail. May be ``async def``."""

    def on_success(self, result: Any) -> None:  # noqa: ARG002 -- for subclasses
        """After ``execute`` returned ``result``; what it raises fails the attempt."""
        self.logger.info("任务 %s 执行成功", self.task_name)

    def on_failure(self, exception: BaseException) -> None:
        """After ``exception``; what this hook itself raises is logged and never hides ``exception``."""
        self.logger.error("任务 %s 执行失败: %s", self.task_name, exception)

    def on_retry(self, attempt: int, max_attempts: int) -> None:
        """Before each attempt but the first; ``attempt`` counts from 1."""
        self.logger.warning("任务 %s 第 %s/%s 次重试", self.task_name, attempt, max_attempts)

    def validate_params(self, **kwargs: Any) -> bool:  # noqa: ARG002 -- for subclasses
        """See all params, defaults of ``execute`` included; return False or raise ValueError to refuse them."""
        return True

    def cleanup(self) -> None:  # noqa: B027 -- a hook: nothing is what most tasks need
        """Release what the task holds: called always, whatever happened before."""
