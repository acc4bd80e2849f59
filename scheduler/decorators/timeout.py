"""@timeout: how long one attempt of a task may take."""

from collections.abc import Callable
from contextvars import copy_context
from functools import wraps
from inspect import iscoroutinefunction
from threading import Thread
from typing import Any

from scheduler.decorators import arguments
from scheduler.decorators.around import AnyFunction, Function, decorator


def timeout(seconds: float | str) -> Callable[[Function], Function]:
    """TimeoutError after ``seconds`` (or a text such as ``"5m"``).

    In the centre the deadline belongs to the slot: a process is killed, a coroutine cancelled, a thread asked to stop.
    Alone, ``async def`` is cancelled, while a plain function runs in a helper thread (its context variables are copied, its
    thread-locals are not) that nothing can kill: the caller gets its TimeoutError in time, the body goes on behind its back
    until it ends or the process does.
    """
    limit_s = arguments.milliseconds("timeout: seconds", seconds, least=1) / 1000

    def wrap(func: AnyFunction) -> AnyFunction:
        return (_wrap_async if iscoroutinefunction(func) else _wrap)(func, limit_s)

    return decorator("timeout", wrap, timeout=seconds)


def _overrun(func: AnyFunction, limit_s: float) -> TimeoutError:
    return TimeoutError(f"任务 {func.__name__} 执行超时 ({limit_s:.10g}秒)")


def _wrap(func: AnyFunction, limit_s: float) -> AnyFunction:
    @wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        context = copy_context()
        ended: list[tuple[Any, BaseException | None]] = []

        def body() -> None:
            try:
                ended.append((context.run(func, *args, **kwargs), None))
            except BaseException as error:  # the caller's, whatever it is
                ended.append((None, error))

        thread = Thread(target=body, name=f"timeout {func.__name__}", daemon=True)
        thread.start()
        thread.join(limit_s)
        if not ended:
            raise _overrun(func, limit_s)
        result, error = ended[0]
        if error is not None:
            raise error
        return result

    return wrapper


def _wrap_async(func: AnyFunction, limit_s: float) -> AnyFunction:
    import asyncio  # a coroutine function has its loop already; nobody else pays for asyncio

    @wraps(func)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        scope = asyncio.timeout(limit_s)
        try:
            async with scope:
                return await func(*args, **kwargs)
        except TimeoutError:
            if scope.expired():
                raise _overrun(func, limit_s) from None
            raise

    return wrapper
