"""Slots for ``async def run``: one event loop in one thread, started with the first coroutine."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any

from scheduler.core.context import current_attempt
from scheduler.core.outcome import Outcome
from scheduler.worker import context
from scheduler.worker.attempt import Attempt
from scheduler.worker.capture import outcome_of_exception, outcome_of_result, timed_out

IGNORED_S = 0.3  # how long a coroutine may go on after it was cancelled


class AsyncSlots:
    """Runs coroutines; a deadline or a cancel becomes ``task.cancel()``, and one that ignores that is given up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(
        self, attempt: Attempt, func: Callable[..., Any], run_context: context.RunContext, done: Callable[[Outcome], None]
    ) -> "AsyncHandle":
        """Start the coroutine; ``done`` is called from the loop's thread."""
        loop = self._running_loop()
        handle = AsyncHandle(loop, attempt, done)
        loop.call_soon_threadsafe(handle.begin, func, run_context)
        return handle

    def close(self) -> None:
        """Cancel what still runs, and end the loop."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_serve, args=(self._loop,), name="asyncio-slots", daemon=True).start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """The thread of the loop; at its end every coroutine gets one step to clean up."""
    asyncio.set_event_loop(loop)
    loop.run_forever()
    leftover = asyncio.all_tasks(loop)
    for task in leftover:
        task.cancel()
    if leftover:
        loop.run_until_complete(asyncio.wait(leftover, timeout=IGNORED_S))
    loop.close()


class AsyncHandle:
    """One coroutine at work. All methods but ``stop`` run in the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, attempt: Attempt, done: Callable[[Outcome], None]) -> None:
        self._loop = loop
        self._attempt = attempt
        self._done = done
        self._task: asyncio.Task[Any] | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def begin(self, func: Callable[..., Any], run_context: context.RunContext) -> None:
        self._task = copy_context().run(self._create, func, run_context)  # the loop's own context stays clean
        self._task.add_done_callback(self._ended)
        limit_ms = self._attempt.task.timeout_ms
        if limit_ms is not None:
            why = timed_out(self._attempt.task.name, limit_ms)
            self._alarm = self._loop.call_later(limit_ms / 1000, self._attempt.tell, why)

    def _create(self, func: Callable[..., Any], run_context: context.RunContext) -> asyncio.Task[Any]:
        context.enter(run_context)
        current_attempt.set((self._attempt.claim.attempt, self._attempt.task.max_attempts))
        return self._loop.create_task(self._body(func), name=run_context.id)

    def ask(self, why: Outcome) -> None:
        """The flag of the attempt, which is set, is all that a coroutine needs."""

    def stop(self, why: Outcome) -> None:
        """Cancel; the outcome is ``why``, at the latest a moment later."""
        self._loop.call_soon_threadsafe(self._cancel)
        self._loop.call_soon_threadsafe(self._loop.call_later, IGNORED_S, self._done, why)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _body(self, func: Callable[..., Coroutine[Any, Any, Any]]) -> Any:
        return await func(**self._attempt.job.params)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if self._alarm is not None:
            self._alarm.cancel()  # or it would keep the attempt in memory until its time has come
        if task.cancelled():
            self._done(self._attempt.why or outcome_of_exception(asyncio.CancelledError("the task cancelled itself")))
            return
        error = task.exception()
        self._done(outcome_of_exception(error) if error else outcome_of_result(task.result()))
