"""All decorators of a task in one module: ``from scheduler.decorators.task_decorators import monitor_task, rate_limit``."""

from scheduler.decorators import gpu_gate, log_execution, monitor_task, rate_limit, retry, timeout

__all__ = ["gpu_gate", "log_execution", "monitor_task", "rate_limit", "retry", "timeout"]
