"""How the decorators are made: each checks what it stands on, wraps it, and marks the wrapper for the loader."""

from collections.abc import Callable
from contextlib import AbstractContextManager
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


def around(func: AnyFunction, guard: Callable[[], AbstractContextManager[object]]) -> AnyFunction:
    """``func`` with a fresh ``guard()`` entered before and left after each call; ``async def`` stays ``async def``."""
    if iscoroutinefunction(func):

        @wraps(func)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            with guard():
                return await func(*args, **kwargs)

    else:

        @wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with guard():
                return func(*args, **kwargs)

    return wrapper


def after(check: Callable[[], object], func: AnyFunction) -> AnyFunction:
    """``func`` with ``check()`` asked before each call, which raises to refuse it; of a coroutine function off its loop."""
    if iscoroutinefunction(func):
        from asyncio import to_thread  # a coroutine function has its loop already; nobody else pays for asyncio

        @wraps(func)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            await to_thread(check)
            return await func(*args, **kwargs)

    else:

        @wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            check()
            return func(*args, **kwargs)

    return wrapper
