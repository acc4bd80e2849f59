"""@retry: how often a task is tried, and how long it waits in between."""

import logging
from collections.abc import Callable, Iterable
from functools import wraps
from inspect import iscoroutinefunction
from random import Random
from typing import Any, NamedTuple, get_args

from scheduler.core import clock
from scheduler.core.backoff import Backoff, Jitter, Strategy
from scheduler.core.decide import gives_up
from scheduler.decorators import arguments
from scheduler.decorators.around import AnyFunction, Function, decorator

Errors = Iterable[type[BaseException] | str]

_random = Random()


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
    attempts = arguments.whole_number("retry: max_attempts", max_attempts)
    arguments.one_of("retry: backoff", backoff, get_args(Strategy))
    arguments.one_of("retry: jitter", jitter, get_args(Jitter))
    delays = Backoff(
        arguments.milliseconds("retry: delay", delay),
        backoff,
        arguments.number("retry: multiplier", multiplier),
        arguments.milliseconds("retry: max_delay", max_delay),
        jitter,
    )
    errors = {"retry_on": arguments.error_names("retry: retry_on", retry_on)}
    errors["give_up_on"] = arguments.error_names("retry: give_up_on", give_up_on)
    policy = _Policy(attempts, delays, **errors)
    words = {"strategy": backoff, "multiplier": multiplier, "max_delay": max_delay, "jitter": jitter}
    marks = {name: names for name, names in errors.items() if names}
    return decorator("retry", lambda func: _wrap(func, policy), max_attempts=max_attempts, retry_delay=delay, backoff=words, **marks)


class _Policy(NamedTuple):
    max_attempts: int
    backoff: Backoff
    retry_on: list[str]
    give_up_on: list[str]

    def wait_s(self, func: AnyFunction, failed: int, error: Exception) -> float:
        """Seconds to wait after the ``failed``-th attempt of ``func``; raises ``error`` when it is final."""
        names = {base.__name__ for base in type(error).__mro__}
        if failed >= self.max_attempts or gives_up(names, self.retry_on, self.give_up_on):
            raise error
        logging.getLogger(func.__module__).warning("任务执行失败 (第%d次尝试): %s", failed, error)
        return self.backoff.delay_ms(failed, _random) / 1000


def _wrap(func: AnyFunction, policy: _Policy) -> AnyFunction:
    if iscoroutinefunction(func):
        from asyncio import sleep  # a coroutine function has its loop already; nobody else pays for asyncio

        @wraps(func)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            failed = 0
            while True:
                failed += 1
                try:
                    return await func(*args, **kwargs)
                except Exception as error:
                    wait_s = policy.wait_s(func, failed, error)
                await sleep(wait_s)

    else:

        @wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            failed = 0
            while True:
                failed += 1
                try:
                    return func(*args, **kwargs)
                except Exception as error:
                    wait_s = policy.wait_s(func, failed, error)
                clock.sleep(wait_s)

    return wrapper
