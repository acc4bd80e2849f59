"""Slots for ``async def run``: one event loop in one thread, started with the first coroutine."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from typing import Any

from scheduler.core.context import current_attempt
from scheduler.core.outcome import Kind, Outcome
from scheduler.worker import context
from scheduler.worker.attempt import Attempt
from scheduler.worker.baton import GivenUp, interrupt
from scheduler.worker.capture import outcome_of_exception, outcome_of_result, timed_out

log = logging.getLogger("scheduler.worker")

IGNORED_S = 0.3  # how long a coroutine may go on after it was cancelled


class AsyncSlots:
    """Runs coroutines; a deadline or a cancel becomes ``task.cancel()``, and one that ignores that is given up.

    One that blocks the loop is interrupted, and the next ones get another loop.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loops: list[LoopThread] = []  # the last one is for the next coroutine

    def start(
        self, attempt: Attempt, func: Callable[..., Any], run_context: context.RunContext, done: Callable[[Outcome], None]
    ) -> "AsyncHandle":
        """Start the coroutine; ``done`` is called from the loop's thread."""
        thread = self._loop_thread()
        handle = AsyncHandle(thread.loop, attempt, done, partial(self._replace, thread))
        thread.loop.call_soon_threadsafe(handle.begin, func, run_context)
        return handle

    def close(self) -> None:
        """Cancel what still runs, and end the loops."""
        with self._lock:
            threads, self._loops = self._loops, []
        for thread in threads:
            thread.close()

    def _loop_thread(self) -> "LoopThread":
        with self._lock:
            if not self._loops or self._loops[-1].deaf:
                self._loops.append(LoopThread())
            return self._loops[-1]

    def _replace(self, thread: "LoopThread") -> None:
        log.warning("a coroutine blocks the event loop: it is interrupted, and the next ones get another loop")
        thread.interrupt()


class LoopThread:
    """An event loop in a thread of its own, which turns on whatever its coroutines do to it. ``deaf``: something blocked it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.deaf = False
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="asyncio-slots", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Every coroutine gets one step to clean up."""
        self._closed = True
        self.loop.call_soon_threadsafe(self.loop.stop)

    def interrupt(self) -> None:
        """Break the loop in Python that keeps this one from turning; a call into C has to come back first."""
        self.deaf = True
        if self._thread.ident is not None:
            interrupt(self._thread.ident)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self._closed:
            try:
                self.loop.run_forever()
            except BaseException as error:  # asyncio lets SystemExit and KeyboardInterrupt of a coroutine through
                log.debug("the event loop was left (%r) and goes on", error)
        leftover = asyncio.all_tasks(self.loop)
        for task in leftover:
            task.cancel()
        if leftover:
            self.loop.run_until_complete(asyncio.wait(leftover, timeout=IGNORED_S))
        self.loop.close()


class AsyncHandle:
    """One coroutine at work. All methods but ``ask`` and ``stop`` run in the loop's thread."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, attempt: Attempt, done: Callable[[Outcome], None], on_deaf: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._attempt = attempt
        self._done = done
        self._on_deaf = on_deaf
        self._told = self._heard = False
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
        """Cancel; the outcome is ``why``, at the latest a moment later. The second call frees a loop that did not hear the first."""
        if self._told:
            if not self._heard:
                self._on_deaf()
            return
        self._told = True
        self._loop.call_soon_threadsafe(self._cancel)
        self._loop.call_soon_threadsafe(self._loop.call_later, IGNORED_S, self._done, why)

    def _cancel(self) -> None:
        self._heard = True
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
        if isinstance(error, GivenUp):  # meant for whoever blocked the loop: perhaps this one
            self._done(self._attempt.why or Outcome(Kind.HANDED_BACK))
            return
        self._done(outcome_of_exception(error) if error else outcome_of_result(task.result()))
