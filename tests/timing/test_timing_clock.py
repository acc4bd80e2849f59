"""The store's clock between two looks at it."""

from typing import Any

import pytest

from scheduler.timing.clock import StoreClock


class Source:
    """A server clock and a monotonic one; asking takes ``delay_s``, half of it before the server reads its clock."""

    def __init__(self) -> None:
        self.server_ms, self.monotonic_s, self.delay_s = 1_800_000_000_000.0, 50.0, 0.0

    def pass_s(self, seconds: float) -> None:
        self.server_ms += seconds * 1000
        self.monotonic_s += seconds

    def read(self) -> int:
        self.pass_s(self.delay_s / 2)
        read = int(self.server_ms)
        self.pass_s(self.delay_s / 2)
        return read


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def clock(source: Source) -> StoreClock:
    found = StoreClock(source.read, lambda: source.monotonic_s)
    assert found.sample() == 0
    return found


def test_it_is_carried_on_by_the_monotonic_clock(source: Source, clock: StoreClock) -> None:
    source.pass_s(12.345)
    assert clock.now_ms() == 1_800_000_012_345


@pytest.mark.parametrize("step_ms", [-3_600_000, -60_000, -1001, 1001, 60_000, 315_360_000_000])
def test_a_step_is_noticed_with_its_size(source: Source, clock: StoreClock, step_ms: int) -> None:
    source.pass_s(1)
    source.server_ms += step_ms
    assert clock.sample() == step_ms
    assert clock.now_ms() == source.server_ms
    assert clock.sample() == 0


def test_a_small_correction_is_followed_in_silence(source: Source, clock: StoreClock) -> None:
    source.server_ms -= 900
    assert clock.sample() == 0
    assert clock.now_ms() == source.server_ms


@pytest.mark.parametrize("delay_s", [0.001, 0.3, 18.0])
def test_a_slow_answer_is_no_step(source: Source, clock: StoreClock, delay_s: float) -> None:
    source.delay_s = delay_s
    for _ in range(5):
        source.pass_s(1)
        assert clock.sample() == 0
        assert clock.now_ms() == pytest.approx(source.server_ms, abs=1)


def test_a_first_answer_that_was_slow_makes_it_late_never_early(source: Source) -> None:
    source.delay_s = 2.0
    clock = StoreClock(source.read, lambda: source.monotonic_s)
    clock.sample()
    assert clock.now_ms() == source.server_ms - 1000


def test_an_error_leaves_the_clock_as_it_was(source: Source, clock: StoreClock) -> None:
    def fail(*_: Any) -> int:
        raise ConnectionError

    clock._read = fail
    with pytest.raises(ConnectionError):
        clock.sample()
    source.pass_s(3)
    assert clock.now_ms() == 1_800_000_003_000
