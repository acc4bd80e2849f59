"""health_check 监控检查: measure this machine (CPU, memory, load, disks, GPUs) and say what is over its threshold.

Copy this one for the simplest plugin there is: a function ``run()`` with typed, defaulted params that returns JSON.
The task file sets the params, and the centre checks them against this signature before anything runs.
"""

import logging
from typing import Any

import psutil

log = logging.getLogger(__name__)

MIB = 1 << 20


def run(
    *,
    max_cpu_percent: float = 95,
    max_memory_percent: float = 95,
    max_disk_percent: float = 95,
    max_gpu_celsius: float = 90,
    paths: list[str] | None = None,
    fail_when_unhealthy: bool = False,
) -> dict[str, Any]:
    """Health of this machine; ``paths`` are the disks to look at (default: all mounted ones). A Run fails only when asked to."""
    found: dict[str, Any] = {"cpu": cpu(), "memory": memory(), "disks": disks(paths), "gpus": gpus()}
    problems = over("CPU", found["cpu"]["percent"], max_cpu_percent, "%") + over(
        "memory", found["memory"]["percent"], max_memory_percent, "%"
    )
    for disk in found["disks"]:
        problems += over(f"disk {disk['path']}", disk["percent"], max_disk_percent, "%")
    for gpu in found["gpus"]:
        problems += over(f"GPU {gpu['number']}", gpu["celsius"], max_gpu_celsius, " °C")
    for problem in problems:
        log.warning("unhealthy: %s", problem)
    if problems and fail_when_unhealthy:
        raise RuntimeError("; ".join(problems))  # the Run fails, and that is the alarm
    return {"healthy": not problems, "problems": problems, **found}


def over(name: str, value: float | None, limit: float, unit: str) -> list[str]:
    """The sentence about a value above its limit; nothing for one that is fine or unknown."""
    return [f"{name} is at {value:g}{unit}, the limit is {limit:g}{unit}"] if value is not None and value > limit else []


def cpu() -> dict[str, Any]:
    # The percentage is a difference between two looks, 0.2 s apart.
    return {
        "percent": psutil.cpu_percent(interval=0.2),
        "cores": psutil.cpu_count(),
        "load": [round(load, 2) for load in psutil.getloadavg()],
    }


def memory() -> dict[str, Any]:
    state = psutil.virtual_memory()
    return {"percent": state.percent, "total_mb": state.total // MIB, "available_mb": state.available // MIB}


def disks(paths: list[str] | None) -> list[dict[str, Any]]:
    found = []
    for path in paths or sorted({partition.mountpoint for partition in psutil.disk_partitions()}) or ["/"]:
        try:
            usage = psutil.disk_usage(path)
        except OSError as error:  # unplugged, or not ours to see
            log.warning("disk %s cannot be measured: %s", path, error)
            continue
        found.append({"path": path, "percent": usage.percent, "free_mb": usage.free // MIB})
    return found


def gpus() -> list[dict[str, Any]]:
    """All NVIDIA cards; [] on a machine without card or driver, which is no error."""
    import pynvml  # inside, so that the plugin loads on machines without it, too

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [gpu(pynvml, number) for number in range(pynvml.nvmlDeviceGetCount())]
    finally:
        pynvml.nvmlShutdown()


def gpu(nvml: Any, number: int) -> dict[str, Any]:
    """One card; what it cannot tell (utilisation of a card cut into MIG instances, say) is None."""

    def ask(question: Any, *args: Any) -> Any:
        try:
            return question(card, *args)
        except nvml.NVMLError:
            return None

    card = nvml.nvmlDeviceGetHandleByIndex(number)
    memory, rates = ask(nvml.nvmlDeviceGetMemoryInfo), ask(nvml.nvmlDeviceGetUtilizationRates)
    return {
        "number": number,
        "name": ask(nvml.nvmlDeviceGetName),
        "percent": rates.gpu if rates else None,
        "memory_used_mb": memory.used // MIB if memory else None,
        "memory_total_mb": memory.total // MIB if memory else None,
        "celsius": ask(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU),
    }
