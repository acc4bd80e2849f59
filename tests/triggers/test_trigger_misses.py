"""What was missed: the same as a walk over every instant, at a price that does not grow with the absence."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.triggers import build_trigger, misses
from scheduler.triggers.misses import MAX_STEPS, Due, due

NOW = 1_790_000_000_000
DAY = 86_400_000
EVERY_SECOND: dict[str, Any] = {"expression": "* * * * * *"}

kinds = st.sampled_from(
    [
        ("interval", {"seconds": 7}),
        ("interval", {"minutes": 3, "start_date": "2026-09-21T12:00:01", "end_date": "2026-09-21T15:00:00"}),
        ("cron", {"expression": "*/2 * * * *"}),
        ("cron", {"minute": "*/9", "end_date": "2026-09-21T14:00:00"}),
        ("date", {"run_date": "2026-09-21T14:00:00"}),
        ("or", {"triggers": [{"trigger": "interval", "args": {"minutes": 5}}, {"trigger": "cron", "args": {"minute": "*/3"}}]}),
    ]
)


def every_instant(trigger: Any, last: int, now: int) -> list[int]:
    found = []
    while (instant := trigger.next(last)) is not None and instant <= now:
        found.append(instant)
        last = instant
    return found


@settings(deadline=None)
@given(kinds, st.integers(NOW - DAY // 4, NOW), st.integers(0, DAY // 12), st.integers(0, 6))
def test_due_is_what_a_walk_over_every_instant_finds(kind: tuple[str, dict[str, Any]], last: int, absence: int, limit: int) -> None:
    trigger = build_trigger(*kind)
    found = every_instant(trigger, last, last + absence)
    listed = found[len(found) - min(limit, len(found)) :]
    assert due(trigger, last, last + absence, limit) == Due(tuple(listed), len(found) - len(listed), trigger.next(last + absence))


def test_a_cron_past_its_end_has_no_next() -> None:
    trigger = build_trigger("cron", {"hour": 6, "end_date": "2026-09-20"})
    assert due(trigger, NOW - 3 * DAY, NOW, 1) == Due((NOW - NOW % DAY - 18 * 3_600_000,), 1, None)


def test_any_object_with_next_will_do() -> None:
    class Hourly:
        def next(self, after_ms: int) -> int | None:
            return (after_ms // 3_600_000 + 1) * 3_600_000

    assert due(Hourly(), 0, 10_800_000, 2) == Due((7_200_000, 10_800_000), 1, 14_400_000)


@pytest.mark.parametrize("kind", [("interval", {"seconds": 1}), ("cron", EVERY_SECOND)])
@pytest.mark.parametrize("back", [0, 1, 3_600_000])
def test_nothing_is_due_when_the_clock_stands_or_steps_back(kind: tuple[str, dict[str, Any]], back: int) -> None:
    assert due(build_trigger(*kind), NOW, NOW - back, 10) == Due((), 0, (NOW - back) // 1000 * 1000 + 1000)


def test_an_interval_is_counted_exactly_over_ten_years(cpu_seconds: Callable[..., float]) -> None:
    trigger = build_trigger("interval", {"seconds": 1})
    seconds = 3650 * 86_400
    assert due(trigger, NOW - seconds * 1000, NOW, 3) == Due((NOW - 2000, NOW - 1000, NOW), seconds - 3, NOW + 1000)
    assert cpu_seconds(lambda: due(trigger, NOW - seconds * 1000, NOW, 3)) < 0.001


def test_an_interval_past_its_end_has_no_next() -> None:
    trigger = build_trigger("interval", {"days": 1, "end_date": "2026-01-03T00:00:00Z"})
    assert due(trigger, NOW - 365 * DAY, NOW, 1) == Due((1_767_398_400_000,), 103, None)
    assert due(trigger, NOW, NOW + DAY, 1) == Due((), 0, None)


def test_an_interval_before_its_start() -> None:
    trigger = build_trigger("interval", {"days": 1, "start_date": "2027-01-01"})
    assert due(trigger, 0, NOW, 5) == Due((), 0, 1_798_761_600_000)


@pytest.mark.parametrize("limit", [0, 1, 100, 300])
@pytest.mark.parametrize(
    ("expression", "days_back", "at_least"),
    [("* * * * *", 1, True), ("* * * * * *", 0.1, True), ("*/10 9 * * mon-fri", 90, True), ("* 3 1 * *", 200, False)],
)
def test_a_cron_after_ten_years_tells_the_newest_in_bounded_time(
    expression: str, days_back: float, at_least: bool, limit: int, cpu_seconds: Callable[..., float]
) -> None:
    trigger = build_trigger("cron", {"expression": expression}, "Europe/Paris")
    found = due(trigger, NOW - 3650 * DAY, NOW, limit)
    recent = every_instant(trigger, NOW - int(days_back * DAY), NOW)
    assert list(found.instants) == recent[len(recent) - limit :]
    assert found.at_least is at_least
    assert MAX_STEPS <= found.missed <= MAX_STEPS + 600 if at_least else found.missed == 7200 - limit
    assert found.next_ms == trigger.next(NOW)
    assert cpu_seconds(lambda: due(trigger, NOW - 3650 * DAY, NOW, limit)) < 0.05


def test_more_than_can_be_counted_one_by_one_but_few_since_the_last_step() -> None:
    trigger = build_trigger("cron", EVERY_SECOND)
    for beyond in (1, 2, 50):
        found = due(trigger, NOW - (MAX_STEPS + beyond) * 1000, NOW, 60)
        assert found == Due(tuple(range(NOW - 59_000, NOW + 1, 1000)), MAX_STEPS + beyond - 60, NOW + 1000)
    exact = due(trigger, NOW - MAX_STEPS * 1000, NOW, 60)
    assert exact == Due(tuple(range(NOW - 59_000, NOW + 1, 1000)), MAX_STEPS - 60, NOW + 1000)


def test_the_module_is_public() -> None:
    assert misses.due is due
