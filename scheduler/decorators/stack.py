"""The decorator stack of a task, outermost first: as data that can be printed, and as what an attempt really enters."""

from typing import NamedTuple

from scheduler.core.ports import GpuBroker
from scheduler.core.task import GpuNeed, RateLimit, Task
from scheduler.core.units import format_ms
from scheduler.decorators.layers import AttemptLayer, GpuLayer, LogLayer, OpenLog


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
        *(Layer("rate_limit", _limit_words(limit), "claim in Redis") for limit in task.rate_limits),
        Layer("gpu", _gpu_words(task.gpu), "attempt") if task.gpu else None,
        Layer("retry", _retry_words(task), "decide") if task.max_attempts > 1 else None,
        Layer("timeout", format_ms(task.timeout_ms), "slot") if task.timeout_ms else None,
        Layer("run", f"{task.target} on {task.executor}", "slot"),
    ]
    return [layer for layer in layers if layer]


def layers_for(task: Task, broker: GpuBroker | None, open_log: OpenLog | None = None) -> tuple[AttemptLayer, ...]:
    """The layers that each attempt of ``task`` enters, outermost first; ``()`` for most tasks.

    Without a ``broker`` the GPU gate is closed; ``open_log`` leads to the log of the Run (see LogLayer).
    """
    if not task.log_runs and task.gpu is None:
        return ()
    layers: list[AttemptLayer] = []
    if task.log_runs:
        layers.append(LogLayer(open_log))
    if task.gpu is not None:
        layers.append(GpuLayer(task.gpu, broker))
    return tuple(layers)


def _limit_words(limit: RateLimit) -> str:
    return f"{limit.max_calls} per {format_ms(limit.window_ms)}, over all instances"


def _gpu_words(need: GpuNeed) -> str:
    words = [f"{need.count} card{'s' if need.count > 1 else ''}"]
    if need.min_memory_mb:
        words.append(f"{need.min_memory_mb / 1024:g} GB free on each")
    if need.max_utilization:
        words.append(f"utilisation below {need.max_utilization:g} %")
    return ", ".join(words)


def _retry_words(task: Task) -> str:
    backoff = task.backoff
    words = [f"{task.max_attempts} attempts", f"{backoff.strategy} delay of {format_ms(backoff.interval_ms)}"]
    if backoff.strategy == "exponential":
        words.append(f"times {backoff.multiplier:g} each")
    if backoff.strategy != "fixed":
        words.append(f"at most {format_ms(backoff.max_delay_ms)}")
    if backoff.jitter != "none":
        words.append(f"{backoff.jitter} jitter")
    if task.retry_on:
        words.append(f"only on {', '.join(task.retry_on)}")
    if task.give_up_on:
        words.append(f"not on {', '.join(task.give_up_on)}")
    return ", ".join(words)
