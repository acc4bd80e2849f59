"""@timeout: how long one attempt of a task may take."""

from collections.abc import Callable
from contextvars import copy_context
from functools import wraps
from inspect import iscoroutinefunction
from threading import Thread
from typing import Any, cast

from scheduler.core.marks import mark
from scheduler.decorators import arguments
from scheduler.decorators.around import Function


def timeout(seconds: float | str) -> Callable[[Function], Function]:
    """TimeoutError after ``seconds`` (or a text such as ``"5m"``).

    In the centre the deadline belongs to the slot: a process is killed, a coroutine cancelled, a thread asked to stop.
    Alone, ``async def`` is cancelled, while a plain function runs in a helper thread (its context variables are copied, its
    thread-locals are not) that nothing can kill: the caller gets its TimeoutError in time, the body goes on behind its back
    until it ends or the process does.
    """
    limit_s = arguments.milliseconds("timeout: seconds", seconds, least=1) / 1000

    def decorator(func: Function) -> Function:
        wrap = _wrap_async if iscoroutinefunction(arguments.function("timeout", func)) else _wrap
        wrapper = wrap(func, limit_s)
        mark(wrapper, func, timeout=seconds)
        return cast("Function", wrapper)

    return decorator


def _overrun(func: Callable[..., Any], limit_s: float) -> TimeoutError:
    return TimeoutError(f"任务 {func.__name__} 执行超时 ({limit_s:.10g}秒)")


def _wrap(func: Callable[..., Any], limit_s: float) -> Callable[..., Any]:
    from concurrent.futures import Future  # 10 ms to import, only for those who use it

    @wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        future: Future[Any] = Future()

        def body() -> None:
            try:
                future.set_result(context.run(func, *args, **kwargs))
            except BaseException as error:  # the caller's, whatever it is
                future.set_exception(error)

        context = copy_context()
        Thread(target=body, name=f"timeout {func.__name__}", daemon=True).start()
        try:
            return future.result(limit_s)
        except TimeoutError:
            if future.done():  # the body's own TimeoutError, or it ended in this very moment
                return future.result()
            raise _overrun(func, limit_s) from None

    return wrapper


def _wrap_async(func: Callable[..., Any], limit_s: float) -> Callable[..., Any]:
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
