"""Ids: in order of time, unique over forks, and for a fire the same for ever."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.ids import ALPHABET, RUN_ID, IdFactory, base32, fire_id, fire_instant

YEAR_9000 = 221_845_392_000_000


def test_ids_increase_strictly_even_within_a_millisecond() -> None:
    new_id = IdFactory()
    ids = [new_id() for _ in range(10_000)]
    assert ids == sorted(set(ids))
    assert all(len(each) == 20 and set(each) <= set(ALPHABET) and RUN_ID.fullmatch(each) for each in ids)


def test_a_forked_child_has_a_suffix_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    new_id = IdFactory()
    parent = new_id()
    monkeypatch.setattr(os, "getpid", lambda: 4_000_000)
    assert new_id()[12:] != parent[12:]


@given(st.integers(0, 32**12 - 1), st.integers(0, 32**12 - 1))
def test_base32_keeps_the_order_of_numbers(one: int, other: int) -> None:
    assert (base32(one, 12) < base32(other, 12)) is (one < other)


@given(name=st.from_regex(r"[a-z0-9_][a-z0-9_.-]{0,63}", fullmatch=True), instant_ms=st.integers(0, YEAR_9000))
def test_the_id_of_a_fire_names_its_instant(name: str, instant_ms: int) -> None:
    run = fire_id(name, instant_ms)
    assert RUN_ID.fullmatch(run)
    assert fire_instant(run) == instant_ms


def test_it_reads_well() -> None:
    assert fire_id("daily_report", 1_798_246_800_000) == "daily_report@20261226T010000Z"
    assert fire_id("tick", 1_798_246_800_250) == "tick@20261226T010000.250Z"


@pytest.mark.parametrize("other", ["", "daily_report", "x@20261399T010000Z", "x@20261226T010000", "@20261226T010000Z"])
def test_other_ids_have_no_instant(other: str) -> None:
    assert fire_instant(other) is None
