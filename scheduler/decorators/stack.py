"""The decorator stack of a task, outermost first: as data that can be printed, and as what an attempt really enters."""

from typing import NamedTuple

from scheduler.core.ports import GpuBroker
from scheduler.core.task import GpuNeed, Task
from scheduler.core.units import format_ms
from scheduler.decorators.layers import GpuLayer, LogLayer, OpenLog


class Layer(NamedTuple):
    """One layer in words: what it demands, and which part of the machinery sees to it."""

    name: str
    parameters: str
    enforced_by: str


def effective_stack(task: Task) -> list[Layer]:
    """The layers that apply to ``task``: metrics → log → rate_limit → gpu → retry → timeout → run."""
    layers = [
        Layer("metrics", f"executions, durations and active runs as task_name={task.metric or task.name}", "event subscriber"),
        Layer("log", "a start and an end line with the duration, in the log of the Run", "attempt") if task.log_runs else None,
        *(
            Layer("rate_limit", f"{limit.max_calls} per {format_ms(limit.window_ms)}, over all instances", "claim in Redis")
            for limit in task.rate_limits
        ),
        Layer("gpu", _gpu_words(task.gpu), "attempt") if task.gpu else None,
        Layer("retry", _retry_words(task), "decide") if task.max_attempts > 1 else None,
        Layer("timeout", format_ms(task.timeout_ms), "slot") if task.timeout_ms else None,
        Layer("run", f"{task.target} on {task.executor}", "slot"),
    ]
    return [layer for layer in layers if layer]


def layers_for(task: Task, broker: GpuBroker | None, open_log: OpenLog | None = None) -> tuple[LogLayer | GpuLayer, ...]:
    """The layers that each attempt of ``task`` enters, outermost first; ``()`` for most tasks.

    Without a ``broker`` the GPU gate is closed; ``open_log`` leads to the log of the Run (see LogLayer).
    """
    log = (LogLayer(open_log),) if task.log_runs else ()
    gpu = (GpuLayer(task.gpu, broker),) if task.gpu else ()
    return (*log, *gpu)


def _gpu_words(need: GpuNeed) -> str:
    words = (
        f"{need.count} card{'s' if need.count > 1 else ''}",
        need.min_memory_mb and f"{need.min_memory_mb / 1024:g} GB free on each",
        need.max_utilization and f"utilisation below {need.max_utilization:g} %",
    )
    return ", ".join(str(word) for word in words if word)


def _retry_words(task: Task) -> str:
    backoff = task.backoff
    words = (
        f"{task.max_attempts} attempts",
        f"{backoff.strategy} delay of {format_ms(backoff.interval_ms)}",
        backoff.strategy == "exponential" and f"times {backoff.multiplier:g} each",
        backoff.strategy != "fixed" and f"at most {format_ms(backoff.max_delay_ms)}",
        backoff.jitter != "none" and f"{backoff.jitter} jitter",
        task.retry_on and f"only on {', '.join(task.retry_on)}",
        task.give_up_on and f"not on {', '.join(task.give_up_on)}",
    )
    return ", ".join(str(word) for word in words if word)
