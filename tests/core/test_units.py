"""Durations and sizes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.units import duration_ms, format_ms, size_bytes


@pytest.mark.parametrize(
    ("written", "ms"),
    [(30, 30_000), (1.5, 1500), ("30", 30_000), ("250ms", 250), ("1h30m", 5_400_000), (" 2 d ", 172_800_000), ("1w", 604_800_000), (0, 0)],
)
def test_durations(written: object, ms: int) -> None:
    assert duration_ms(written) == ms


@pytest.mark.parametrize("written", [-1, True, None, "", "5x", "m", "-5s", "1h30", "1 2", float("nan"), float("inf"), 10**12, [], "１ｍ"])
def test_what_is_no_duration(written: object) -> None:
    with pytest.raises(ValueError, match='is not a duration: write seconds as a number, or a text such as "30s"'):
        duration_ms(written)


@given(st.integers(0, 10**12))
def test_a_duration_written_out_reads_back(ms: int) -> None:
    assert duration_ms(format_ms(ms)) == ms


@pytest.mark.parametrize(
    ("written", "size"),
    [(1024, 1024), ("512", 512), ("512MiB", 512 * 2**20), ("2GB", 2 * 10**9), ("1.5GiB", 3 * 2**29), ("7 B", 7), ("1TiB", 2**40)],
)
def test_sizes(written: object, size: int) -> None:
    assert size_bytes(written) == size


@pytest.mark.parametrize("written", [-1, True, 1.5, "", "2G", "GiB", "2 gib", None, "-5MB"])
def test_what_is_no_size(written: object) -> None:
    with pytest.raises(ValueError, match="is not a size: write bytes, or a text such as 512MiB"):
        size_bytes(written)
