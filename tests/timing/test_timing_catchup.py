"""The policy for late instants, against a plain reading of its words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.task import Schedule
from scheduler.timing.catchup import Plan, Position, Shot, plan
from scheduler.triggers import build_trigger, misses

NOW = 1_800_000_000_000
EVERY_MINUTE = build_trigger("interval", {"minutes": 1})


def decide(late_ms: int, *, trigger: Any = EVERY_MINUTE, **policy: Any) -> Plan:
    """What is decided now, when everything up to ``late_ms`` ago is settled."""
    schedule = Schedule(name="x", task="x", trigger="interval", **policy)
    last_ms = NOW - late_ms
    return plan(schedule, trigger, Position(last_ms, trigger.next(last_ms)), NOW, misses.due)


def ago(shots: list[Shot]) -> list[int]:
    """How many minutes ago each instant was."""
    return [(NOW - shot.instant_ms) // 60_000 for shot in shots]


def test_one_instant_in_time_just_runs() -> None:
    assert decide(60_000) == Plan([Shot(NOW, NOW - 60_000)], NOW + 60_000)


def test_within_the_grace_each_instant_runs_and_each_joins_the_one_before() -> None:
    found = decide(180_000, misfire_grace_ms=180_000)
    assert found.shots == [Shot(NOW - m * 60_000, NOW - (m + 1) * 60_000) for m in (2, 1, 0)]
    assert not found.late


def test_within_the_grace_coalesce_runs_the_newest_and_tells_of_the_others() -> None:
    found = decide(180_000, misfire_grace_ms=180_000, coalesce=True)
    assert found == Plan([Shot(NOW, 0, 2, "coalesced")], NOW + 60_000)


@pytest.mark.parametrize("coalesce", [False, True])
def test_run_once_runs_the_newest_of_a_late_batch(coalesce: bool) -> None:
    assert decide(3_600_000, coalesce=coalesce) == Plan([Shot(NOW, 0, 59, "misfired")], NOW + 60_000, late=True)


def test_one_late_instant_runs_and_nothing_is_missed() -> None:
    last = build_trigger("interval", {"hours": 1})
    found = decide(3_599_000, trigger=last)
    assert found == Plan([Shot(NOW, NOW - 3_599_000)], NOW + 3_600_000)
    early = decide(600_000, trigger=build_trigger("date", {"run_date": "2027-01-15T07:55:00Z"}))
    assert early == Plan([Shot(NOW - 300_000, NOW - 600_000)], None, late=True)


def test_run_all_runs_the_newest_and_tells_of_the_rest() -> None:
    found = decide(3_600_000, misfire="run_all", catch_up_max=3)
    assert found.shots == [Shot(NOW - 120_000, 0, 57, "misfired"), Shot(NOW - 60_000, NOW - 120_000), Shot(NOW, NOW - 60_000)]
    assert found.late


def test_run_all_within_its_bound_misses_nothing() -> None:
    found = decide(300_000, misfire="run_all")
    assert ago(found.shots) == [4, 3, 2, 1, 0]
    assert [shot.previous_ms for shot in found.shots] == [NOW - m * 60_000 for m in (5, 4, 3, 2, 1)]


def test_skip_records_what_is_older_than_the_grace_and_runs_the_rest() -> None:
    found = decide(600_000, misfire="skip", misfire_grace_ms=119_999)
    assert found.shots[0] == Shot(NOW - 120_000, 0, 8, "misfired", make_run=False)
    assert found.shots[1:] == [Shot(NOW - 60_000, NOW - 120_000), Shot(NOW, NOW - 60_000)]
    assert not found.late


def test_skip_with_nothing_in_time_records_only() -> None:
    hourly = build_trigger("interval", {"hours": 1, "start_date": "2027-01-15T00:30:00Z"})
    found = decide(3_600_000, trigger=hourly, misfire="skip")
    assert found == Plan([Shot(NOW - 1_800_000, NOW - 3_600_000, 1, "misfired", make_run=False)], NOW + 1_800_000)


def test_a_date_from_before_the_schedule_is_told_of_and_not_run() -> None:
    once = build_trigger("date", {"run_date": "2020-01-01T00:00:00Z"})
    schedule = Schedule(name="x", task="x", trigger="date")
    then = once.next(0)
    assert plan(schedule, once, Position(NOW, then), NOW, misses.due) == Plan([Shot(then, 0, 1, "passed", make_run=False)], None)


def test_ten_years_of_seconds_are_decided_in_no_time() -> None:
    every_second = build_trigger("interval", {"seconds": 1})
    years_ms = 10 * 365 * 86_400_000
    assert decide(years_ms, trigger=every_second).shots == [Shot(NOW, 0, years_ms // 1000 - 1, "misfired")]


def test_very_many_within_the_grace_are_taken_in_portions() -> None:
    dense = build_trigger("interval", {"seconds": 0.001})
    found = decide(5000, trigger=dense)
    assert [shot.instant_ms for shot in found.shots] == list(range(NOW - 4999, NOW - 3999))
    assert found.next_ms == NOW - 3999


def oracle(instants: list[int], schedule: Schedule) -> tuple[set[int], int]:
    """Which of these due instants run, and how many do not, by the words of the policy."""
    within = [instant for instant in instants if NOW - instant <= schedule.misfire_grace_ms]
    if len(within) == len(instants) or schedule.misfire == "skip":
        runs = within[-1:] if schedule.coalesce else within
    else:
        runs = instants[-1:] if schedule.misfire == "run_once" else instants[-schedule.catch_up_max :]
    return set(runs), len(instants) - len(runs)


@given(
    step_s=st.integers(1, 100),
    late_s=st.integers(0, 600),
    grace_s=st.integers(0, 300),
    coalesce=st.booleans(),
    misfire=st.sampled_from(["run_once", "run_all", "skip"]),
    most=st.integers(1, 20),
    grid=st.booleans(),
)
def test_the_policy_is_followed_and_every_instant_is_accounted_for(
    step_s: int, late_s: int, grace_s: int, coalesce: bool, misfire: Any, most: int, grid: bool
) -> None:
    kind, args = ("interval", {"seconds": step_s}) if grid else ("or", {"triggers": [{"trigger": "interval", "args": {"seconds": step_s}}]})
    trigger = build_trigger(kind, args)
    policy = {"misfire_grace_ms": grace_s * 1000, "coalesce": coalesce, "misfire": misfire, "catch_up_max": most}
    schedule = Schedule(name="x", task="x", trigger=kind, **policy)
    last_ms = NOW - late_s * 1000
    instants = [instant for instant in range(last_ms + 1000, NOW + 1, 1000) if instant % (step_s * 1000) == 0]
    if not instants:
        return
    found = plan(schedule, trigger, Position(last_ms, instants[0]), NOW, misses.due)
    runs, missed = oracle(instants, schedule)
    assert {shot.instant_ms for shot in found.shots if shot.make_run} == runs
    assert sum(shot.missed for shot in found.shots) == missed
    assert found.next_ms == trigger.next(NOW)
    assert found.late == (misfire != "skip" and NOW - instants[0] > grace_s * 1000)
    assert_joined(found.shots, last_ms)


def assert_joined(shots: list[Shot], last_ms: int) -> None:
    """``previous_ms`` names the instant before exactly where none was left out in between."""
    for shot in shots:
        left_out = shot.missed - (0 if shot.make_run else 1)
        assert shot.previous_ms == (0 if left_out > 0 else last_ms)
        last_ms = shot.instant_ms
