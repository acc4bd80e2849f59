"""health_check 监控检查: measure this machine (CPU, memory, disks, GPUs) and say what is over its limit.

Copy this one for the simplest plugin there is: a function ``run()`` with typed params that returns JSON.
The task file sets the params, and the centre checks them against this signature before anything runs.
"""

import logging
from typing import Any

import psutil

log = logging.getLogger(__name__)  # what a Run logs is in the Run's own log

MIB = 2**20


def run(
    max_cpu_percent: float = 95,
    max_memory_percent: float = 95,
    max_disk_percent: float = 95,
    max_gpu_celsius: float = 90,
    paths: list[str] | None = None,
    fail_when_unhealthy: bool = False,
) -> dict[str, Any]:
    """Health of this machine; ``paths`` are the disks to look at (default: all that can be written). A Run fails only when asked to."""
    memory = psutil.virtual_memory()
    found: dict[str, Any] = {
        "cpu": {"percent": psutil.cpu_percent(interval=0.2), "cores": psutil.cpu_count()},
        "memory": {"percent": memory.percent, "available_mb": memory.available // MIB, "total_mb": memory.total // MIB},
        "disks": disks(paths),
        "gpus": gpus(),
    }
    readings = [("CPU", found["cpu"]["percent"], max_cpu_percent, "%"), ("memory", memory.percent, max_memory_percent, "%")]
    readings += [(f"disk {disk['path']}", disk["percent"], max_disk_percent, "%") for disk in found["disks"]]
    readings += [(f"GPU {gpu['number']}", gpu["celsius"], max_gpu_celsius, " °C") for gpu in found["gpus"]]
    problems = [f"{name} is at {value:g}{unit}, the limit is {limit:g}{unit}" for name, value, limit, unit in readings if value > limit]
    for problem in problems:
        log.warning("unhealthy: %s", problem)
    if problems and fail_when_unhealthy:
        raise RuntimeError("; ".join(problems))  # the Run fails, and that is the alarm
    return {"healthy": not problems, "problems": problems, **found}


def disks(paths: list[str] | None) -> list[dict[str, Any]]:
    """How full they are. What is mounted read-only (a snap, a CD) is always full, and nobody can help it."""
    mounted = sorted({part.mountpoint for part in psutil.disk_partitions() if "ro" not in part.opts.split(",")})
    found = []
    for path in paths or mounted or ["/"]:
        try:
            usage = psutil.disk_usage(path)
        except OSError as error:  # unplugged, or not ours to see: the others still count
            log.warning("disk %s cannot be measured: %s", path, error)
            continue
        found.append({"path": path, "percent": usage.percent, "free_mb": usage.free // MIB})
    return found


def gpus() -> list[dict[str, Any]]:
    """The NVIDIA cards; none on a machine without card, driver or library, which is no error."""
    try:
        import pynvml  # not at the top of the file: the plugin must load on machines without it, too
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    found = []
    for number in range(pynvml.nvmlDeviceGetCount()):
        try:
            card = pynvml.nvmlDeviceGetHandleByIndex(number)
            celsius = pynvml.nvmlDeviceGetTemperature(card, pynvml.NVML_TEMPERATURE_GPU)
            found.append({"number": number, "name": pynvml.nvmlDeviceGetName(card), "celsius": celsius})
        except pynvml.NVMLError as error:
            log.warning("GPU %d cannot be measured: %s", number, error)
    pynvml.nvmlShutdown()
    return found
