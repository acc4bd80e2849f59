"""How the decorators are made: each checks what it stands on, wraps it, and marks the wrapper for the loader."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

from scheduler.core.marks import mark

Function = TypeVar("Function", bound=Callable[..., Any])
AnyFunction = Callable[..., Any]


def decorator(place: str, wrap: Callable[[AnyFunction], AnyFunction], **policy: Any) -> Callable[[Function], Function]:
    """The decorator ``@place`` that wraps with ``wrap`` and marks ``policy``; a policy that is called with the function gives its own."""

    def decorate(func: Function) -> Function:
        if isinstance(func, type):
            raise TypeError(f"@{place} goes on a function: decorate {func.__name__}.execute or run(), not the class")
        if not callable(func):
            raise TypeError(f"@{place} goes on a function, not on {func!r}")
        wrapper = wrap(func)
        mark(wrapper, func, **{name: value(func) if callable(value) else value for name, value in policy.items()})
        return cast("Function", wrapper)

    return decorate


def around(
    func: AnyFunction, *, check: Callable[[], object] | None = None, guard: Callable[[], AbstractContextManager[object]] = nullcontext
) -> AnyFunction:
    """``func`` with ``check()`` asked before each call, which raises to refuse it, and a fresh ``guard()`` entered for it.

    ``async def`` stays ``async def``, and its check is asked in a thread: it may wait for a server or a driver.
    """
    if iscoroutinefunction(func):
        from asyncio import to_thread  # a coroutine function has its loop already; nobody else pays for asyncio

        @wraps(func)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            if check:
                await to_thread(check)
            with guard():
                return await func(*args, **kwargs)

    else:

        @wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if check:
                check()
            with guard():
                return func(*args, **kwargs)

    return wrapper
