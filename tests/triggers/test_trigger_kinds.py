"""Each kind of trigger by example, and the options that all kinds take."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest

from scheduler.triggers import build_trigger, jitter_of, next_fires

NOW = 1_790_000_000_000  # 2026-09-21T14:13:20Z


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def fires(kind: str, args: Mapping[str, Any], after: str, n: int, timezone: str = "UTC") -> list[str]:
    found = next_fires(build_trigger(kind, args, timezone), ms(after), n)
    return [datetime.fromtimestamp(instant / 1000, UTC).isoformat(timespec="milliseconds")[:-6].removesuffix(".000") for instant in found]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"minutes": 30}, ["2026-01-01T00:30:00", "2026-01-01T01:00:00"]),
        ({"seconds": 0.5}, ["2026-01-01T00:00:00.500", "2026-01-01T00:00:01"]),
        ({"seconds": 0.001}, ["2026-01-01T00:00:00.001", "2026-01-01T00:00:00.002"]),
        ({"hours": 1, "minutes": 30}, ["2026-01-01T01:30:00", "2026-01-01T03:00:00"]),
        ({"weeks": 1}, ["2026-01-08T00:00:00", "2026-01-15T00:00:00"]),  # the zero of UTC time was a Thursday
        ({"minutes": 7, "start_date": "2026-01-01 00:03:00"}, ["2026-01-01T00:03:00", "2026-01-01T00:10:00"]),
        ({"minutes": 7, "start_date": "2025-12-31T23:59:00Z"}, ["2026-01-01T00:06:00", "2026-01-01T00:13:00"]),
    ],
)
def test_intervals_count_from_their_anchor(args: dict[str, Any], expected: list[str]) -> None:
    assert fires("interval", args, "2026-01-01T00:00:00", 2) == expected


@pytest.mark.parametrize(
    ("args", "timezone", "expected"),
    [
        ({"hour": 9}, "Asia/Shanghai", ["2026-01-01T01:00:00", "2026-01-02T01:00:00"]),
        ({"hour": 9, "timezone": "Europe/Paris"}, "Asia/Shanghai", ["2026-01-01T08:00:00", "2026-01-02T08:00:00"]),
        ({"minute": 15}, "UTC", ["2026-01-01T00:15:00", "2026-01-01T01:15:00"]),
        ({"day_of_week": "mon-fri", "hour": 9}, "UTC", ["2026-01-01T09:00:00", "2026-01-02T09:00:00", "2026-01-05T09:00:00"]),
        ({"day_of_week": "sat-mon"}, "UTC", ["2026-01-03T00:00:00", "2026-01-04T00:00:00", "2026-01-05T00:00:00"]),
        ({"day": "last"}, "UTC", ["2026-01-31T00:00:00", "2026-02-28T00:00:00"]),
        ({"day": "last fri, 2nd  MON"}, "UTC", ["2026-01-12T00:00:00", "2026-01-30T00:00:00", "2026-02-09T00:00:00"]),
        ({"day": 13, "day_of_week": "fri"}, "UTC", ["2026-02-13T00:00:00", "2026-03-13T00:00:00", "2026-11-13T00:00:00"]),
        ({"month": "jun-aug/2"}, "UTC", ["2026-06-01T00:00:00", "2026-08-01T00:00:00", "2027-06-01T00:00:00"]),
        ({"week": 53, "day_of_week": "mon"}, "UTC", ["2026-12-28T00:00:00", "2032-12-27T00:00:00"]),
        ({"year": "2028,2090", "month": 2, "day": 29}, "UTC", ["2028-02-29T00:00:00"]),
        ({"year": "2027-2028"}, "UTC", ["2027-01-01T00:00:00", "2028-01-01T00:00:00"]),
        ({"second": "*/30"}, "UTC", ["2026-01-01T00:00:30", "2026-01-01T00:01:00"]),
        ({"hour": "09", "minute": "50/5"}, "UTC", ["2026-01-01T09:50:00", "2026-01-01T09:55:00", "2026-01-02T09:50:00"]),
        ({"expression": "0 9 * * 1-5"}, "UTC", ["2026-01-01T09:00:00", "2026-01-02T09:00:00", "2026-01-05T09:00:00"]),
        ({"expression": "0 0 * * 0"}, "UTC", ["2026-01-04T00:00:00", "2026-01-11T00:00:00"]),
        ({"expression": "0 0 * * 7"}, "UTC", ["2026-01-04T00:00:00", "2026-01-11T00:00:00"]),
        ({"expression": "0 0 13 * fri"}, "UTC", ["2026-01-02T00:00:00", "2026-01-09T00:00:00", "2026-01-13T00:00:00"]),
        ({"expression": "15 30 6 * * *"}, "UTC", ["2026-01-01T06:30:15", "2026-01-02T06:30:15"]),
        ({"expression": "0 0 LW * *"}, "UTC", ["2026-01-30T00:00:00", "2026-02-27T00:00:00"]),
        ({"expression": "0 0 29 2 *"}, "UTC", ["2028-02-29T00:00:00", "2032-02-29T00:00:00"]),
    ],
)
def test_crons(args: dict[str, Any], timezone: str, expected: list[str]) -> None:
    assert fires("cron", args, "2026-01-01T00:00:00", len(expected), timezone) == expected


def test_a_cron_whose_years_are_over_has_no_next() -> None:
    assert fires("cron", {"year": "2028,2090", "month": 2, "day": 28}, "2089-01-01", 5) == ["2090-02-28T00:00:00"]
    assert fires("cron", {"year": 2025}, "2026-01-01", 5) == []


def test_the_29th_of_february_waits_eight_years_across_2100() -> None:
    assert fires("cron", {"month": 2, "day": 29}, "2096-03-01", 1) == ["2104-02-29T00:00:00"]


def cron(**args: Any) -> dict[str, Any]:
    return {"trigger": "cron", "args": args}


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"months": 1, "start_date": "2026-01-31", "hour": 9}, ["2026-01-31T09:00:00", "2026-03-31T09:00:00", "2026-05-31T09:00:00"]),
        ({"years": 1, "start_date": "2024-02-29"}, ["2028-02-29T00:00:00", "2032-02-29T00:00:00"]),
        ({"weeks": 2, "start_date": "2025-12-25", "minute": 5, "second": 7}, ["2026-01-08T00:05:07", "2026-01-22T00:05:07"]),
        ({"days": 3, "start_date": "2026-01-01 12:00"}, ["2026-01-04T00:00:00", "2026-01-07T00:00:00"]),
        ({"months": 1}, ["2026-01-01T00:00:00", "2026-02-01T00:00:00"]),
        ({"months": 1, "days": 1, "start_date": "2026-01-01"}, ["2026-01-01T00:00:00", "2026-02-02T00:00:00", "2026-03-03T00:00:00"]),
    ],
)
def test_calendar_intervals_pass_over_dates_that_do_not_exist(args: dict[str, Any], expected: list[str]) -> None:
    assert fires("calendar_interval", args, "2025-12-31T23:59:59", len(expected)) == expected


def test_a_calendar_interval_ends_with_the_calendar() -> None:
    assert fires("calendar_interval", {"years": 5000, "start_date": "2026-06-01"}, "2026-01-01", 5) == [
        "2026-06-01T00:00:00",
        "7026-06-01T00:00:00",
    ]


def test_a_calendar_interval_takes_its_day_from_the_zone() -> None:
    args = {"days": 2, "start_date": "2026-01-01T20:00:00Z", "hour": 6}  # already 2 January in Shanghai
    assert fires("calendar_interval", args, "2026-01-01T00:00:00", 2, "Asia/Shanghai") == ["2026-01-01T22:00:00", "2026-01-03T22:00:00"]


@pytest.mark.parametrize(
    ("run_date", "expected"),
    [
        ("2026-12-25 10:00:00", "2026-12-25T02:00:00"),
        ("2026-12-25", "2026-12-24T16:00:00"),
        (date(2026, 12, 25), "2026-12-24T16:00:00"),
        (datetime(2026, 12, 25, 10), "2026-12-25T02:00:00"),  # noqa: DTZ001 -- as YAML gives it
        ("2026-12-25T10:00:00+01:00", "2026-12-25T09:00:00"),
        ("2026-12-25T10:00:00.250Z", "2026-12-25T10:00:00.250"),
    ],
)
def test_dates_are_local_unless_they_say_otherwise(run_date: object, expected: str) -> None:
    assert fires("date", {"run_date": run_date}, "2026-01-01T00:00:00", 5, "Asia/Shanghai") == [expected]


def test_a_date_that_has_passed_is_simply_done() -> None:
    assert build_trigger("date", {"run_date": "1999-01-01"}).next(NOW) is None


def test_any_of_several_triggers_fires_each_shared_instant_once() -> None:
    both = {
        "triggers": [
            cron(hour="9,10"),
            {"trigger": "interval", "args": {"hours": 9}},
            {"trigger": "date", "args": {"run_date": "1999-01-01"}},
        ]
    }
    expected = ["2026-01-01T09:00:00", "2026-01-01T10:00:00", "2026-01-01T18:00:00", "2026-01-02T03:00:00", "2026-01-02T09:00:00"]
    assert fires("or", both, "2026-01-01T06:30:00", 5) == expected
    assert build_trigger("or", both).next(ms("2026-01-01T06:30:00")) == ms(expected[0])
    past = {"triggers": [{"trigger": "date", "args": {"run_date": "1999-01-01"}}]}
    assert build_trigger("or", past).next(NOW) is None


def test_all_of_several_triggers() -> None:
    friday_13th = {"triggers": [cron(day=13, hour=8), cron(day_of_week="fri", hour=8)]}
    assert fires("and", friday_13th, "2026-01-01", 3) == ["2026-02-13T08:00:00", "2026-03-13T08:00:00", "2026-11-13T08:00:00"]
    for_a_while = {"triggers": [cron(hour=8), {"trigger": "interval", "args": {"hours": 1, "end_date": "2026-01-02"}}]}
    assert fires("and", for_a_while, "2026-01-01", 5) == ["2026-01-01T08:00:00", "2026-01-02T08:00:00"]
    of_any = {"triggers": [cron(hour="8,9"), {"trigger": "or", "args": {"triggers": [cron(day=1, hour=9), cron(month=2, day=2, hour=8)]}}]}
    assert fires("and", of_any, "2026-01-15", 2) == ["2026-02-01T09:00:00", "2026-02-02T08:00:00"]


def test_all_of_several_triggers_reaches_a_rare_day() -> None:
    rare = {"triggers": [cron(month=2, day=29), cron(day_of_week="mon")]}
    assert fires("and", rare, "2072-03-01", 1) == ["2112-02-29T00:00:00"]


def test_inner_triggers_take_zone_and_policy_from_the_outer_one() -> None:
    inner = {"triggers": [cron(hour=2, minute=30), cron(hour=2, minute=30, dst={"gap": "skip"}, timezone="UTC")]}
    found = fires("or", {**inner, "dst": {"gap": "shift"}}, "2026-03-07T12:00:00", 3, "America/New_York")
    assert found == ["2026-03-08T02:30:00", "2026-03-08T07:00:00", "2026-03-09T02:30:00"]
    skipped = fires("or", {**inner, "dst": {"gap": "skip"}}, "2026-03-07T12:00:00", 3, "America/New_York")
    assert skipped == ["2026-03-08T02:30:00", "2026-03-09T02:30:00", "2026-03-09T06:30:00"]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"start_date": "2026-01-02T06:00:00"}, ["2026-01-02T06:00:00", "2026-01-03T06:00:00", "2026-01-04T06:00:00"]),
        ({"end_date": "2026-01-02T06:00:00"}, ["2026-01-01T06:00:00", "2026-01-02T06:00:00"]),
        ({"end_date": "2026-01-02T05:59:59"}, ["2026-01-01T06:00:00"]),
        ({"end_date": "2026-01-02"}, ["2026-01-01T06:00:00", "2026-01-02T06:00:00"]),  # a bare date is the whole day
        ({"start_date": date(2026, 1, 3), "end_date": date(2026, 1, 3)}, ["2026-01-03T06:00:00"]),
        ({"end_date": "9999-12-31"}, ["2026-01-01T06:00:00", "2026-01-02T06:00:00", "2026-01-03T06:00:00"]),
    ],
)
def test_start_and_end_are_included(limits: dict[str, Any], expected: list[str]) -> None:
    assert fires("cron", {"hour": 6, **limits}, "2026-01-01T00:00:00", 3) == expected
    trigger = build_trigger("cron", {"hour": 6, **limits})
    assert trigger.next(ms(expected[0]) - 1) == ms(expected[0])


def test_nothing_fires_after_the_last_year() -> None:
    assert fires("cron", {"hour": 6}, "9900-12-31T05:00:00", 3) == ["9900-12-31T06:00:00"]


def test_jitter_and_max_runs_are_told_not_applied() -> None:
    trigger = build_trigger("interval", {"hours": 1, "jitter": "30s", "max_runs": 3})
    assert (trigger.jitter_ms, trigger.max_runs) == (30_000, 3)
    assert next_fires(trigger, 0, 5) == [3_600_000 * number for number in range(1, 6)]
    plain = build_trigger("interval", {"hours": 1})
    assert (plain.jitter_ms, plain.max_runs) == (0, None)


def test_jitter_is_the_same_everywhere_and_spreads_evenly() -> None:
    assert jitter_of("report", NOW, 30_000) == 19_505
    delays = [jitter_of(f"task-{number}", NOW, 9_999) for number in range(10_000)]
    assert min(delays) >= 0
    assert max(delays) <= 9_999
    per_second = [sum(1 for delay in delays if delay // 1000 == second) for second in range(10)]
    assert min(per_second) > 900
    assert jitter_of("report", NOW, 0) == 0
    assert len({jitter_of("report", instant, 10**9) for instant in range(100)}) == 100


@pytest.mark.parametrize(
    ("kind", "args", "microseconds"),
    [("interval", {"seconds": 1}, 2), ("cron", {"expression": "*/5 * * * *"}, 60), ("cron", {"hour": 9, "day_of_week": "mon-fri"}, 60)],
)
def test_next_is_fast(kind: str, args: dict[str, Any], microseconds: float, cpu_seconds: Callable[..., float]) -> None:
    trigger = build_trigger(kind, args, "America/New_York")
    assert cpu_seconds(lambda: trigger.next(NOW), number=1000, rounds=10) * 1_000_000 < microseconds
