"""@retry: how often a task is tried, and how long it waits in between."""

import logging
from collections.abc import Callable, Iterable
from functools import wraps
from inspect import iscoroutinefunction
from random import Random
from typing import Any, NamedTuple, cast, get_args

from scheduler.core import clock
from scheduler.core.backoff import Backoff, Jitter, Strategy
from scheduler.core.decide import gives_up
from scheduler.core.marks import mark
from scheduler.decorators import arguments
from scheduler.decorators.around import Function

Errors = Iterable[type[BaseException] | str]


def retry(  # noqa: PLR0913, PLR0917 - a policy has as many parts as in the task file
    max_attempts: int = 3,
    delay: float | str = 0,
    backoff: Strategy = "fixed",
    multiplier: float = 2,
    max_delay: float | str = 3600,
    jitter: Jitter = "none",
    retry_on: Errors = (),
    give_up_on: Errors = (),
) -> Callable[[Function], Function]:
    """Try up to ``max_attempts`` times in all; ``delay`` and ``max_delay`` are seconds or texts such as ``"5m"``.

    ``retry_on`` and ``give_up_on`` take exception classes or their names (base classes count; empty ``retry_on``: every error).
    FatalError is never tried again, RetryableError always. In the centre the wait is kept in the store and survives a crash;
    alone, the wrapper sleeps and its memory ends with the process.
    """
    policy = _Policy(
        arguments.whole_number("retry: max_attempts", max_attempts),
        _backoff(delay, backoff, multiplier, max_delay, jitter),
        arguments.error_names("retry: retry_on", retry_on),
        arguments.error_names("retry: give_up_on", give_up_on),
    )
    marks: dict[str, Any] = {"max_attempts": max_attempts, "retry_delay": delay}
    marks["backoff"] = {"strategy": backoff, "multiplier": multiplier, "max_delay": max_delay, "jitter": jitter}
    marks |= {name: value for name, value in (("retry_on", policy.retry_on), ("give_up_on", policy.give_up_on)) if value}

    def decorator(func: Function) -> Function:
        wrapper = _wrap(arguments.function("retry", func), policy)
        mark(wrapper, func, **marks)
        return cast("Function", wrapper)

    return decorator


def _backoff(delay: float | str, strategy: Strategy, multiplier: float, max_delay: float | str, jitter: Jitter) -> Backoff:
    arguments.one_of("retry: backoff", strategy, get_args(Strategy))
    arguments.one_of("retry: jitter", jitter, get_args(Jitter))
    return Backoff(
        arguments.milliseconds("retry: delay", delay),
        strategy,
        arguments.number("retry: multiplier", multiplier),
        arguments.milliseconds("retry: max_delay", max_delay),
        jitter,
    )


class _Policy(NamedTuple):
    max_attempts: int
    backoff: Backoff
    retry_on: list[str]
    give_up_on: list[str]

    def wait_s(self, func: Callable[..., Any], failed: int, error: Exception) -> float | None:
        """Seconds to wait after the ``failed``-th attempt of ``func``; None: no more attempts."""
        names = {base.__name__ for base in type(error).__mro__}
        if failed >= self.max_attempts or gives_up(names, self.retry_on, self.give_up_on):
            return None
        logging.getLogger(func.__module__).warning("任务执行失败 (第%d次尝试): %s", failed, error)
        return self.backoff.delay_ms(failed, _random) / 1000


_random = Random()


def _wrap(func: Callable[..., Any], policy: _Policy) -> Callable[..., Any]:
    if iscoroutinefunction(func):
        return _wrap_async(func, policy)

    @wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        failed = 0
        while True:
            try:
                return func(*args, **kwargs)
            except Exception as error:
                failed += 1
                wait_s = policy.wait_s(func, failed, error)
                if wait_s is None:
                    raise
            clock.sleep(wait_s)

    return wrapper


def _wrap_async(func: Callable[..., Any], policy: _Policy) -> Callable[..., Any]:
    from asyncio import sleep  # a coroutine function has its loop already; nobody else pays for asyncio

    @wraps(func)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        failed = 0
        while True:
            try:
                return await func(*args, **kwargs)
            except Exception as error:
                failed += 1
                wait_s = policy.wait_s(func, failed, error)
                if wait_s is None:
                    raise
            await sleep(wait_s)

    return wrapper
