"""@gpu_gate: how much of which GPUs a task needs before it may start."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from typing import cast

from scheduler.core.marks import mark
from scheduler.core.ports import GpuBroker, Inventory
from scheduler.core.task import GpuNeed
from scheduler.decorators import arguments
from scheduler.decorators.around import Function, around

_PASS = nullcontext()


def gpu_gate(
    min_memory_gb: float = 0, max_utilization: float = 0, count: int = 1, *, inventory: Inventory | None = None
) -> Callable[[Function], Function]:
    """Start only when ``count`` cards have ``min_memory_gb`` (GiB) free and less than ``max_utilization`` percent in use; 0: no condition.

    In the centre the memory is reserved across all instances, the Run sees only its own cards, and while there are none it
    waits without using up an attempt. Alone, the cards of this host (or of ``inventory``) are measured before each call, nothing is
    reserved, and GateClosedError is raised when they do not suffice.
    """
    memory_gb = arguments.number("gpu_gate: min_memory_gb", min_memory_gb)
    utilization = arguments.number("gpu_gate: max_utilization", max_utilization, most=100)
    need = GpuNeed(round(memory_gb * 1024), utilization, arguments.whole_number("gpu_gate: count", count))

    def decorator(func: Function) -> Function:
        name = arguments.function("gpu_gate", func).__qualname__
        broker = cache(partial(_broker, inventory))
        wrapper = around(func, lambda: _check(broker(), name, need))
        mark(wrapper, func, gpu={"min_memory_gb": min_memory_gb, "max_utilization": max_utilization, "count": count})
        return cast("Function", wrapper)

    return decorator


def _check(broker: GpuBroker, name: str, need: GpuNeed) -> AbstractContextManager[None]:
    broker.reserve(name, need)
    return _PASS


def _broker(inventory: Inventory | None) -> GpuBroker:
    from scheduler.gpu import Broker, NvmlInventory  # only the gate used alone measures for itself

    return Broker(inventory or NvmlInventory())
