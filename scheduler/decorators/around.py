"""The one way a decorator wraps: a guard around each call, of a plain function or of a coroutine function."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def around(func: Callable[..., Any], guard: Callable[[], AbstractContextManager[object]]) -> Callable[..., Any]:
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
