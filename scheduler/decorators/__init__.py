"""The decorators of a task: marks that the loader reads, and working wrappers on a plain function; importing them costs nothing heavy."""

from scheduler.decorators.gpu_gate import gpu_gate
from scheduler.decorators.log_execution import log_execution
from scheduler.decorators.monitor_task import monitor_task
from scheduler.decorators.rate_limit import rate_limit
from scheduler.decorators.retry import retry
from scheduler.decorators.timeout import timeout

__all__ = ["gpu_gate", "log_execution", "monitor_task", "rate_limit", "retry", "timeout"]
