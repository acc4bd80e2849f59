"""The scheduling centre's public names, imported only when they are used: a plugin's ``from scheduler import retry`` stays cheap."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scheduler.center import SchedulerCenter
    from scheduler.core.errors import (
        ConfigError,
        ConflictError,
        FatalError,
        IntakeClosedError,
        ParamsError,
        RetryableError,
        RunNotFoundError,
        SchedulerError,
        StoreError,
        UnknownTaskError,
        WaitTimeoutError,
    )
    from scheduler.decorators import gpu_gate, log_execution, monitor_task, rate_limit, retry, timeout
    from scheduler.tasks.base_task import BaseTask
    from scheduler.worker.context import current_run, should_stop

__version__ = "0.1.0"

__all__ = [
    "BaseTask",
    "ConfigError",
    "ConflictError",
    "FatalError",
    "IntakeClosedError",
    "ParamsError",
    "RetryableError",
    "RunNotFoundError",
    "SchedulerCenter",
    "SchedulerError",
    "StoreError",
    "UnknownTaskError",
    "WaitTimeoutError",
    "current_run",
    "gpu_gate",
    "log_execution",
    "monitor_task",
    "rate_limit",
    "retry",
    "should_stop",
    "timeout",
]

_HOMES = {
    "SchedulerCenter": "scheduler.center",
    "BaseTask": "scheduler.tasks.base_task",
    "current_run": "scheduler.worker.context",
    "should_stop": "scheduler.worker.context",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'scheduler' has no attribute {name!r}")
    usual = "scheduler.core.errors" if name.endswith("Error") else "scheduler.decorators"
    return getattr(import_module(_HOMES.get(name, usual)), name)
