"""@gpu_gate: how much of which GPUs a task needs before it may start."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import cast

from scheduler.core.ports import GpuBroker, Inventory
from scheduler.core.task import GpuNeed
from scheduler.decorators import arguments
from scheduler.decorators.around import Function, around, decorator


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

    @cache
    def broker() -> GpuBroker:
        # By name: the decorators stand below the GPUs, and only the gate used alone measures for itself.
        gpu = import_module("scheduler.gpu")
        return cast("GpuBroker", gpu.Broker(inventory or gpu.NvmlInventory()))

    gpu_policy = {"min_memory_gb": min_memory_gb, "max_utilization": max_utilization, "count": count}
    return decorator("gpu_gate", lambda func: around(func, check=lambda: broker().reserve(func.__qualname__, need)), gpu=gpu_policy)
