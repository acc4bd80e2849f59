"""The GPUs of this host, read through NVML (nvidia-ml-py) under a deadline, for a driver call may hang for ever."""

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock, Thread
from typing import Any

from scheduler.core import clock
from scheduler.core.ports import Card

_log = logging.getLogger(__name__)
_MIB = 2**20


def _load_nvml() -> Any:
    import pynvml  # 25 ms to import, only where GPUs are asked for

    return pynvml


class NvmlInventory:
    """The cards and MIG instances of this host.

    Processes below ``root_pid`` (default: this process; give the supervisor's where workers are its children) count as ours.
    ``trouble`` says in one line what was wrong at the last reading, and is '' when nothing was. Thread-safe.
    """

    def __init__(self, root_pid: int | None = None, deadline_s: float = 2.0, load: Callable[[], Any] = _load_nvml) -> None:
        self.trouble = ""
        self._root_pid = root_pid or os.getpid()
        self._deadline_s = deadline_s
        self._load = load
        self._nvml: Any = None
        self._lock = Lock()
        self._reading: Future[tuple[list[Card], str]] | None = None
        self._started_s = 0.0

    def cards(self) -> list[Card]:
        """The cards that answer; one that does not (fallen off the bus) is left out. [] without card, driver or answer in time."""
        reading, left_s = self._current_reading()
        try:
            cards, trouble = reading.result(left_s)
        except TimeoutError:
            cards, trouble = [], f"NVML did not answer within {self._deadline_s:g} s: the GPUs of this host count as absent until it does"
        if trouble != self.trouble:
            self.trouble = trouble
            _log.warning("GPU: %s", trouble or "answering again")
        return cards

    def _current_reading(self) -> tuple["Future[tuple[list[Card], str]]", float]:
        """The reading that is under way, or a new one, and the seconds left to wait for it. One that hangs is never doubled."""
        with self._lock:
            if self._reading is None or self._reading.done():
                self._reading, self._started_s = Future(), clock.monotonic()
                Thread(target=self._read, args=(self._reading,), name="nvml", daemon=True).start()
            return self._reading, max(0.0, self._started_s + self._deadline_s - clock.monotonic())

    def _read(self, reading: "Future[tuple[list[Card], str]]") -> None:
        try:
            if self._nvml is None:
                nvml = self._load()
                nvml.nvmlInit()
                self._nvml = nvml
            lost: list[str] = []
            cards = [card for number in range(self._nvml.nvmlDeviceGetCount()) for card in self._devices(self._nvml, number, lost)]
        except Exception as error:  # no library, no driver, a driver of another version: no GPU, and the centre goes on
            self._nvml = None
            reading.set_result(([], f"no GPU can be used here: {error}"))
        else:
            reading.set_result((cards, "; ".join(lost)))

    def _devices(self, nvml: Any, number: int, lost: list[str]) -> list[Card]:
        """The card, or its MIG instances; [] and a word in ``lost`` when it does not answer."""
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(number)
            return [self._card(nvml, number, each) for each in list(_mig_instances(nvml, handle)) or [handle]]
        except nvml.NVMLError as error:
            lost.append(f"card {number} is quarantined: {error}")
            return []

    def _card(self, nvml: Any, number: int, handle: Any) -> Card:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        processes = _supported(nvml, lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle), [])
        held = [(each.pid, each.usedGpuMemory // _MIB) for each in processes if each.usedGpuMemory]
        return Card(
            uuid=nvml.nvmlDeviceGetUUID(handle),
            number=number,
            name=nvml.nvmlDeviceGetName(handle),
            total_mb=memory.total // _MIB,
            free_mb=memory.free // _MIB,
            utilization=_supported(nvml, lambda: float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu), None),
            foreign=tuple((pid, mb) for pid, mb in held if _is_foreign(pid, self._root_pid)),
        )


def _mig_instances(nvml: Any, handle: Any) -> Iterator[Any]:
    mode, _pending = _supported(nvml, lambda: nvml.nvmlDeviceGetMigMode(handle), (0, 0))
    if mode == nvml.NVML_DEVICE_MIG_ENABLE:
        for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
            with suppress(nvml.NVMLError_NotFound):  # indices have gaps
                yield nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)


def _supported(nvml: Any, read: Callable[[], Any], otherwise: Any) -> Any:
    """``read()``, or ``otherwise`` where this card cannot tell: not supported is unknown, not zero."""
    try:
        return read()
    except (nvml.NVMLError_NotSupported, nvml.NVMLError_NoPermission):
        return otherwise


def _is_foreign(pid: int, root_pid: int) -> bool:
    """Whether ``pid`` is not of the tree below ``root_pid``.

    A pid unknown here may be one of ours seen from outside our container, so it is not foreign: free memory alone speaks for it.
    """
    import psutil  # 20 ms to import, only where a GPU is in use

    try:
        process = psutil.Process(pid)
        return root_pid not in {pid, *(parent.pid for parent in process.parents())}
    except psutil.Error:
        return False
