"""@log_execution: a line when a task starts and one when it ends, with its duration."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scheduler.core.clock import perf_counter
from scheduler.decorators.around import AnyFunction, Function, around, decorator

STARTED = "开始执行任务: %s"
SUCCEEDED = "任务 %s 执行成功，耗时: %.2f秒"
FAILED = "任务 %s 执行失败，耗时: %.2f秒，错误: %s"


def log_execution(logger: logging.Logger | None = None) -> Callable[[Function], Function]:
    """Log start, success and failure to ``logger`` (default: the one named for the function's module).

    In the centre the lines go into the log of the Run.
    """
    if logger is not None and not hasattr(logger, "info"):
        raise TypeError(f"log_execution: {logger!r} is not a logger; write @log_execution() with parentheses")

    def wrap(func: AnyFunction) -> AnyFunction:
        return around(func, guard=lambda: _lines(logger or logging.getLogger(func.__module__), func.__name__))

    return decorator("log_execution", wrap, log_runs=True)


@contextmanager
def _lines(log: logging.Logger, name: str) -> Iterator[None]:
    log.info(STARTED, name)
    started_s = perf_counter()
    try:
        yield
    except Exception as error:
        log.error(FAILED, name, perf_counter() - started_s, error)  # noqa: TRY400 - the traceback is the raiser's to log
        raise
    log.info(SUCCEEDED, name, perf_counter() - started_s)
