"""The adapter: makes of a BaseTask subclass a plain callable that takes the params and calls the hooks in their order."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from scheduler.core.context import current_attempt
from scheduler.core.marks import unmarked
from scheduler.tasks.base_task import BaseTask


def adapt(cls: type[BaseTask]) -> Callable[..., Any]:
    """A function for one attempt, ``async`` where ``execute`` is; it raises ValueError for params that ``validate_params`` refuses."""
    execute = unmarked(cls.execute)

    def attempt(**params: Any) -> Any:
        with _hooks(cls, execute, params) as task:
            result = execute(task, **params)
            task.on_success(result)
        return result

    async def attempt_async(**params: Any) -> Any:
        with _hooks(cls, execute, params) as task:
            result = await execute(task, **params)
            task.on_success(result)
        return result

    adapted = attempt_async if inspect.iscoroutinefunction(execute) else attempt
    adapted.__name__ = adapted.__qualname__ = cls.__name__
    return adapted


@contextmanager
def _hooks(cls: type[BaseTask], execute: Callable[..., Any], params: Mapping[str, Any]) -> Iterator[BaseTask]:
    task = cls()
    attempt, max_attempts = current_attempt.get()
    try:
        if attempt > 1:
            task.on_retry(attempt, max_attempts)
        _validate(task, execute, params)
        yield task
    except BaseException as error:  # a cancelled or exiting attempt did not succeed either
        _quietly(task, task.on_failure, error)
        raise
    finally:
        _quietly(task, task.cleanup)


def _validate(task: BaseTask, execute: Callable[..., Any], params: Mapping[str, Any]) -> None:
    signature = inspect.signature(execute)
    signature.bind(task, **params)  # wrong params are Python's own TypeError
    defaults = {name: parameter.default for name, parameter in signature.parameters.items() if parameter.default is not parameter.empty}
    if task.validate_params(**{**defaults, **params}) is False:
        names = ", ".join(sorted(params)) or "none given"
        raise ValueError(f"{task.task_name}.validate_params() refused the params ({names})")


def _quietly(task: BaseTask, hook: Callable[..., None], *args: object) -> None:
    """An error in a closing hook must not replace the attempt's own end."""
    try:
        hook(*args)
    except Exception:
        task.logger.exception("%s.%s() raised; the attempt keeps its outcome", task.task_name, hook.__name__)
