# ruff: noqa: N802 - the fake driver has the names of NVML
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from scheduler.core.ports import Card
from scheduler.gpu.inventory import NvmlInventory

GIB = 2**30


class Device:
    """What a driver would say of one card or MIG instance; an exception as a value is raised."""

    def __init__(self, uuid: str, total_gb: int = 80, free_gb: float = 80, utilization: Any = 3, **more: Any) -> None:
        self.uuid, self.name = uuid, more.get("name", "NVIDIA H100 80GB HBM3")
        self.memory: Any = SimpleNamespace(total=total_gb * GIB, free=round(free_gb * GIB))
        self.utilization = utilization
        self.mig: Any = more.get("mig", pynvml.NVMLError_NotSupported())
        self.processes: Any = more.get("processes", [])


def answer(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value


class FakeDriver:
    """The part of the pynvml module that is read, over made-up devices; its exceptions are the real ones."""

    NVMLError = pynvml.NVMLError
    NVMLError_NotFound = pynvml.NVMLError_NotFound
    NVMLError_NotSupported = pynvml.NVMLError_NotSupported
    NVMLError_NoPermission = pynvml.NVMLError_NoPermission
    NVML_DEVICE_MIG_ENABLE = pynvml.NVML_DEVICE_MIG_ENABLE

    def __init__(self, *devices: Any) -> None:
        self.devices = list(devices)
        self.init: Any = None
        self.inits = 0
        self.on_count: Callable[[], object] = lambda: None

    def nvmlInit(self) -> None:
        self.inits += 1
        answer(self.init)

    def nvmlDeviceGetCount(self) -> int:
        self.on_count()
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Device:
        return answer(self.devices[index])

    def nvmlDeviceGetUUID(self, device: Device) -> str:
        return device.uuid

    def nvmlDeviceGetName(self, device: Device) -> str:
        return device.name

    def nvmlDeviceGetMemoryInfo(self, device: Device) -> Any:
        return answer(device.memory)

    def nvmlDeviceGetUtilizationRates(self, device: Device) -> Any:
        return SimpleNamespace(gpu=answer(device.utilization))

    def nvmlDeviceGetComputeRunningProcesses(self, device: Device) -> Any:
        return answer(device.processes)

    def nvmlDeviceGetMigMode(self, device: Device) -> Any:
        return answer(device.mig) if isinstance(device.mig, Exception) else [int(bool(device.mig)), 0]

    def nvmlDeviceGetMaxMigDeviceCount(self, device: Device) -> int:
        return len(device.mig)

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Device, index: int) -> Device:
        return answer(device.mig[index])


def inventory(driver: FakeDriver, **more: Any) -> NvmlInventory:
    return NvmlInventory(load=lambda: driver, **more)


def test_reads_cards_in_bus_order() -> None:
    found = inventory(FakeDriver(Device("GPU-a", 80, 61.5, 12), Device("GPU-b", 24, 24, 0, name="A10"))).cards()
    assert found == [
        Card("GPU-a", 0, "NVIDIA H100 80GB HBM3", 81920, 62976, 12.0),
        Card("GPU-b", 1, "A10", 24576, 24576, 0.0),
    ]


def test_an_unsupported_reading_is_unknown_not_zero() -> None:
    device = Device("GPU-a", utilization=pynvml.NVMLError_NotSupported(), processes=pynvml.NVMLError_NoPermission())
    (card,) = inventory(FakeDriver(device)).cards()
    assert card.utilization is None
    assert card.foreign == ()


def test_mig_instances_stand_for_their_card() -> None:
    unknown = pynvml.NVMLError_NotSupported()
    parts = [Device("MIG-1", 40, 40, unknown), pynvml.NVMLError_NotFound(), Device("MIG-2", 20, 5, unknown)]
    found = inventory(FakeDriver(Device("GPU-a", mig=parts), Device("GPU-b", mig=[]))).cards()
    assert [(card.uuid, card.number, card.free_mb, card.utilization) for card in found] == [
        ("MIG-1", 0, 40960, None),
        ("MIG-2", 0, 5120, None),
        ("GPU-b", 1, 81920, 3.0),
    ]


@pytest.mark.parametrize(
    "error",
    [
        pynvml.NVMLError_LibraryNotFound(),
        pynvml.NVMLError_DriverNotLoaded(),
        pynvml.NVMLError_LibRmVersionMismatch(),
        pynvml.NVMLError_NoPermission(),
        pynvml.NVMLError_Unknown(),
        OSError("libnvidia-ml.so.1: wrong ELF class"),
    ],
)
def test_without_library_or_driver_there_is_no_gpu_and_one_line(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    driver = FakeDriver(Device("GPU-a"))
    driver.init = error
    host = inventory(driver)
    assert host.cards() == []
    assert host.cards() == []
    assert caplog.messages == [f"GPU: no GPU can be used here: {error}"]
    driver.init = None  # the driver was installed
    assert len(host.cards()) == 1
    assert host.trouble == ""
    assert caplog.messages[1:] == ["GPU: answering again"]


def test_a_missing_module_is_no_gpu() -> None:
    def load() -> Any:
        raise ModuleNotFoundError("No module named 'pynvml'")

    host = NvmlInventory(load=load)
    assert host.cards() == []
    assert "No module named 'pynvml'" in host.trouble


def test_the_driver_is_initialised_once_and_again_after_it_was_reloaded() -> None:
    driver = FakeDriver(Device("GPU-a"))
    host = inventory(driver)
    host.cards()
    host.cards()
    assert driver.inits == 1
    driver.on_count = lambda: answer(pynvml.NVMLError_Uninitialized())
    assert host.cards() == []
    driver.on_count = lambda: None
    assert len(host.cards()) == 1
    assert driver.inits == 2


def test_a_card_off_the_bus_is_left_out_and_the_others_stay(caplog: pytest.LogCaptureFixture) -> None:
    lost = Device("GPU-b")
    lost.memory = pynvml.NVMLError_GpuIsLost()
    host = inventory(FakeDriver(Device("GPU-a"), lost, pynvml.NVMLError_GpuIsLost(), Device("GPU-d")))
    assert [(card.uuid, card.number) for card in host.cards()] == [("GPU-a", 0), ("GPU-d", 3)]
    assert "card 1 is quarantined: " in host.trouble
    assert "card 2 is quarantined: " in host.trouble
    assert len(caplog.messages) == 1


def test_a_driver_that_hangs_hangs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    release, entered = threading.Event(), []

    def hang() -> None:
        entered.append(threading.current_thread())
        release.wait(30)

    driver = FakeDriver(Device("GPU-a"))
    driver.on_count = hang
    host = inventory(driver, deadline_s=0.05)
    try:
        assert host.cards() == []
        assert host.cards() == []  # does not start a second reader beside the one that hangs
        assert len(entered) == 1
        assert entered[0].daemon
        assert caplog.messages == ["GPU: NVML did not answer within 0.05 s: the GPUs of this host count as absent until it does"]
    finally:
        release.set()
    entered[0].join(10)
    assert [card.uuid for card in host.cards()] == ["GPU-a"]


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process that is no relative of anybody's tree but ours."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate(b"\n", 10)


def process(pid: int, gb: float | None) -> Any:
    return SimpleNamespace(pid=pid, usedGpuMemory=None if gb is None else round(gb * GIB))


def test_whose_processes_hold_memory(stranger: int) -> None:
    nobody = 2**22 - 3  # beyond any pid here: seen from outside our container, or dead
    device = Device("GPU-a", processes=[process(os.getpid(), 4), process(stranger, 7), process(nobody, 9), process(1, None)])
    ours = inventory(FakeDriver(device)).cards()
    assert ours[0].foreign == (), "this process, its child, and who cannot be known"
    theirs = inventory(FakeDriver(device), root_pid=stranger).cards()
    assert theirs[0].foreign == ((os.getpid(), 4096),)


def test_this_very_host() -> None:
    host = NvmlInventory()
    assert host.cards() or host.trouble


@pytest.fixture(autouse=True)
def _warnings_only(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "scheduler.gpu.inventory")
