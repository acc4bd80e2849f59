"""@rate_limit: how often a task may start."""

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any

from scheduler.core.marks import marks_of
from scheduler.decorators import arguments
from scheduler.decorators.around import AnyFunction, Function, around, decorator

_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster", "memory")


def rate_limit(max_calls: int, time_window: float | str, *, storage: str | None = None) -> Callable[[Function], Function]:
    """``max_calls`` per ``time_window`` (whole seconds, or a text such as ``"1m"``); several stacked must all hold.

    In the centre it holds across all instances: 5 per minute is a burst of 5, then one start every 12 s (so the fullest minute has 9),
    and a Run over it waits without using up an attempt. Alone, it is a sliding window, with at most 5 calls in any minute: in the
    memory of this process, one per decorated function, or in the Redis whose URL ``storage`` names, one per function name. There a
    call over it raises RuntimeError.
    """
    arguments.whole_number("rate_limit: max_calls", max_calls)
    window_s, rest = divmod(arguments.milliseconds("rate_limit: time_window", time_window, least=1000), 1000)
    if rest:
        raise ValueError(f"rate_limit: time_window: {time_window!r} is not a whole number of seconds")
    url = "memory://" if storage is None else _storage_url(storage)

    def with_earlier(func: AnyFunction) -> Any:
        limit, earlier = {"max_calls": max_calls, "time_window": time_window}, marks_of(func).get("rate_limit", [])
        return [limit, *(earlier if isinstance(earlier, list) else [earlier])] if earlier else limit

    return decorator("rate_limit", lambda func: around(func, check=_Window(func, max_calls, window_s, url).take), rate_limit=with_earlier)


def _storage_url(storage: str) -> str:
    """The URL in the library's spelling; ValueError for a kind it does not know."""
    scheme, separator, place = storage.partition("://")
    if not separator:
        raise ValueError(f"rate_limit: storage: {storage!r} is not a URL; write redis://host:6379/0 or unix:///path/of/socket")
    arguments.one_of("rate_limit: storage", scheme, _SCHEMES)
    return f"redis+unix://{place}" if scheme == "unix" else storage


class _Window:
    """A sliding window for one function. The library and its storage come with the first call."""

    def __init__(self, func: AnyFunction, max_calls: int, window_s: int, url: str) -> None:
        self._func, self._max_calls, self._window_s, self._url = func, max_calls, window_s, url
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

        options = {} if self._url == "memory://" else {"socket_timeout": 2, "socket_connect_timeout": 2}
        limiter = MovingWindowRateLimiter(storage_from_string(self._url, **options))
        item = RateLimitItemPerSecond(self._max_calls, self._window_s, "scheduler")
        return partial(limiter.hit, item, f"{self._func.__module__}.{self._func.__qualname__}")
