"""How long a failed attempt waits."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.backoff import Backoff, Jitter, Strategy


@pytest.mark.parametrize(
    ("strategy", "delays_s"),
    [("fixed", [30, 30, 30, 30, 30]), ("linear", [30, 60, 90, 100, 100]), ("exponential", [30, 60, 100, 100, 100])],
)
def test_strategies_up_to_the_cap(strategy: Strategy, delays_s: list[int]) -> None:
    backoff = Backoff(interval_ms=30_000, strategy=strategy, max_delay_ms=100_000)
    assert [backoff.base_ms(failed) for failed in range(1, 6)] == [delay * 1000 for delay in delays_s]


def test_an_endless_retry_overflows_nothing() -> None:
    assert Backoff(interval_ms=1, strategy="exponential", multiplier=10).base_ms(100_000) == 3_600_000


@given(
    interval_ms=st.integers(0, 10**7),
    strategy=st.sampled_from(["fixed", "linear", "exponential"]),
    jitter=st.sampled_from(["none", "full", "equal"]),
    failed=st.integers(1, 5000),
    seed=st.integers(),
)
def test_jitter_stays_between_its_bounds(interval_ms: int, strategy: Strategy, jitter: Jitter, failed: int, seed: int) -> None:
    backoff = Backoff(interval_ms=interval_ms, strategy=strategy, jitter=jitter)
    base, delay = backoff.base_ms(failed), backoff.delay_ms(failed, Random(seed))
    least = {"none": base, "full": 0, "equal": base / 2}[jitter]
    assert round(least) <= delay <= base <= backoff.max_delay_ms


def test_full_jitter_spreads_a_thousand_retries() -> None:
    random, backoff = Random(7), Backoff(interval_ms=60_000, jitter="full")
    seconds = [backoff.delay_ms(1, random) // 1000 for _ in range(1000)]
    assert max(seconds.count(second) for second in range(60)) < 2 * 1000 / 60 + 10
