"""@rate_limit: how many runs of a task may start within a window of time."""

from collections.abc import Callable
from functools import partial, wraps
from inspect import iscoroutinefunction
from threading import Lock
from typing import Any, cast

from scheduler.core.marks import mark, marks_of
from scheduler.decorators import arguments
from scheduler.decorators.around import Function

_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster", "memory")


def rate_limit(max_calls: int, time_window: float | str, *, storage: str | None = None) -> Callable[[Function], Function]:
    """At most ``max_calls`` per ``time_window`` (whole seconds, or a text such as ``"1m"``); several stacked must all hold.

    In the centre the limit holds across all instances, and a Run over it waits without using up an attempt. Alone, it is a
    sliding window in the memory of this process, one per decorated function, or in the Redis whose URL ``storage`` names, one per
    function name, and a call over it raises RuntimeError.
    """
    arguments.whole_number("rate_limit: max_calls", max_calls)
    window_ms = arguments.milliseconds("rate_limit: time_window", time_window, least=1000)
    if window_ms % 1000:
        raise ValueError(f"rate_limit: time_window: {time_window!r} is not a whole number of seconds")
    url = _storage_url(storage)

    def decorator(func: Function) -> Function:
        window = _Window(arguments.function("rate_limit", func), max_calls, window_ms // 1000, url)
        wrapper = _wrap(func, window)
        earlier = marks_of(func).get("rate_limit", [])
        limit = {"max_calls": max_calls, "time_window": time_window}
        mark(wrapper, func, rate_limit=[limit, *(earlier if isinstance(earlier, list) else [earlier])] if earlier else limit)
        return cast("Function", wrapper)

    return decorator


class _Window:
    """A sliding window for one function. The library and its storage come with the first call."""

    def __init__(self, func: Callable[..., Any], max_calls: int, window_s: int, storage: str | None) -> None:
        self.remote = storage is not None
        self._func, self._max_calls, self._window_s = func, max_calls, window_s
        self._storage = storage or "memory://"
        self._lock = Lock()
        self._hit: Callable[[], bool] | None = None

    def take(self) -> None:
        """Count one call; RuntimeError when the window is full."""
        with self._lock:
            self._hit = self._hit or self._build()
        if not self._hit():
            message = f"任务 {self._func.__name__} 超过速率限制: {self._max_calls} calls per {self._window_s} seconds"
            raise RuntimeError(message)

    def _build(self) -> Callable[[], bool]:
        from limits import RateLimitItemPerSecond  # 90 ms to import, only for those who use it alone
        from limits.storage import storage_from_string
        from limits.strategies import MovingWindowRateLimiter

        options = {"socket_timeout": 2, "socket_connect_timeout": 2} if self.remote else {}
        limiter = MovingWindowRateLimiter(storage_from_string(self._storage, **options))
        item = RateLimitItemPerSecond(self._max_calls, self._window_s, "scheduler")
        return partial(limiter.hit, item, f"{self._func.__module__}.{self._func.__qualname__}")


def _storage_url(storage: str | None) -> str | None:
    """The URL in the library's spelling; ValueError for a kind it does not know."""
    if storage is None:
        return None
    scheme, separator, place = storage.partition("://")
    if not separator:
        raise ValueError(f"rate_limit: storage: {storage!r} is not a URL; write redis://host:6379/0 or unix:///path/of/socket")
    arguments.one_of("rate_limit: storage", scheme, _SCHEMES)
    return f"redis+unix://{place}" if scheme == "unix" else storage


def _wrap(func: Callable[..., Any], window: _Window) -> Callable[..., Any]:
    if iscoroutinefunction(func):
        return _wrap_async(func, window)

    @wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        window.take()
        return func(*args, **kwargs)

    return wrapper


def _wrap_async(func: Callable[..., Any], window: _Window) -> Callable[..., Any]:
    from asyncio import to_thread  # a coroutine function has its loop already; nobody else pays for asyncio

    @wraps(func)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        if window.remote:
            await to_thread(window.take)  # a round trip: not on the loop
        else:
            window.take()
        return await func(*args, **kwargs)

    return wrapper
