"""What the machinery tells the code it calls, without passing it through the user's parameters."""

from contextvars import ContextVar

current_attempt: ContextVar[tuple[int, int]] = ContextVar("scheduler_attempt", default=(1, 1))
"""(attempt, max_attempts), both from 1: set by the slot around the callable, read by the adapter of BaseTask for ``on_retry``."""
