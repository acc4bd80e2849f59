"""Every wrong trigger is refused with its place, its value and what is allowed, within bounded time."""

from collections.abc import Callable
from typing import Any

import pytest

from scheduler.triggers import TriggerError, build_trigger

NINE = {"trigger": "cron", "args": {"hour": 9}}
TEN = {"trigger": "cron", "args": {"hour": 10}}

MISTAKES: list[tuple[str, Any, tuple[str | int, ...], str]] = [
    # kind and names
    ("intervall", {}, (), "trigger 'intervall' is not known: allowed are interval, cron, .*did you mean 'interval'"),
    ("none", {}, (), "trigger 'none' is not known"),
    ("cron", {"hours": 3}, ("hours",), "argument of cron 'hours' is not known: .*did you mean 'hour'"),
    ("cron", {7: 3}, ("7",), "argument of cron 7 is not known"),
    ("cron", None, (), "args None must be a mapping"),
    ("cron", {"hour": 3, "calendar": "cn"}, ("calendar",), "calendar is not available yet: calendars come with a later version"),
    ("custom", {"class": "m:C", "on_holiday": "skip"}, ("on_holiday",), "on_holiday is not available yet"),
    # options of all kinds
    (
        "interval",
        {"seconds": 1, "timezone": "asia/shangai"},
        ("timezone",),
        "timezone 'asia/shangai' is not known.*did you mean 'Asia/Shanghai'",
    ),
    ("interval", {"seconds": 1, "timezone": "America"}, ("timezone",), "timezone 'America' is not known"),
    ("interval", {"seconds": 1, "timezone": "../etc/passwd"}, ("timezone",), "is not known"),
    ("interval", {"seconds": 1, "timezone": ""}, ("timezone",), "timezone '' is not known"),
    ("interval", {"seconds": 1, "timezone": 8}, ("timezone",), "timezone 8 is not known"),
    ("interval", {"seconds": 1, "timezone": None}, ("timezone",), "timezone None is not known"),
    ("interval", {"seconds": 1, "start_date": "tomorrow"}, ("start_date",), "start_date 'tomorrow' is not an ISO date or time"),
    ("interval", {"seconds": 1, "end_date": 20261225}, ("end_date",), "end_date 20261225 is not an ISO date or time"),
    ("interval", {"seconds": 1, "start_date": "1969-12-31"}, ("start_date",), "must lie in the years 1970 to 9899"),
    ("interval", {"seconds": 1, "start_date": "9999-12-31"}, ("start_date",), "must lie in the years 1970 to 9899"),
    ("cron", {"hour": 1, "timezone": "Pacific/Apia", "start_date": "2011-12-30"}, ("start_date",), "does not exist in Pacific/Apia"),
    (
        "interval",
        {"seconds": 1, "start_date": "2026-02-02", "end_date": "2026-02-01"},
        ("end_date",),
        "before the start: the trigger never fires",
    ),
    ("interval", {"seconds": 1, "jitter": "soon"}, ("jitter",), "jitter 'soon' is not a duration"),
    ("interval", {"seconds": 1, "max_runs": 0}, ("max_runs",), "max_runs 0 must be a whole number from 1"),
    ("interval", {"seconds": 1, "max_runs": True}, ("max_runs",), "max_runs True must be a whole number"),
    ("cron", {"hour": 1, "dst": "skip"}, ("dst",), "dst 'skip' must be a mapping such as {gap: shift, fold: first}"),
    (
        "cron",
        {"hour": 1, "dst": {"gap": "shft"}},
        ("dst", "gap"),
        "dst.gap 'shft' is not known: allowed are shift, skip; did you mean 'shift'",
    ),
    ("cron", {"hour": 1, "dst": {"fall": "first"}}, ("dst",), "dst 'fall' is not known: allowed are gap, fold"),
    # interval
    ("interval", {}, (), "interval {} must last from 1 ms to 100 years: write one or more of weeks"),
    ("interval", {"seconds": 0}, ("seconds",), "must last from 1 ms"),
    ("interval", {"seconds": 0.0001}, ("seconds",), "must last from 1 ms"),
    ("interval", {"weeks": 6000}, ("weeks",), "must last from 1 ms to 100 years"),
    ("interval", {"seconds": -5}, ("seconds",), "seconds -5 must be a number of seconds"),
    ("interval", {"minutes": "5"}, ("minutes",), "minutes '5' must be a number of minutes"),
    ("interval", {"hours": float("nan")}, ("hours",), "hours nan must be a number"),
    ("interval", {"days": True}, ("days",), "days True must be a number"),
    ("interval", {"minute": 5}, ("minute",), "did you mean 'minutes'"),
    # cron by fields
    ("cron", {}, (), "cron needs an expression, or one or more of year"),
    ("cron", {"hour": 25}, ("hour",), "hour '25' is not understood: allowed are 0-23"),
    ("cron", {"hour": -1}, ("hour",), "hour '-1' is not understood"),
    ("cron", {"hour": True}, ("hour",), "hour True must be a number or a text"),
    ("cron", {"hour": [9, 10]}, ("hour",), "must be a number or a text"),
    ("cron", {"minute": "*/60"}, ("minute",), r"minute '\*/60': the step must be from 1 to 59; for longer steps use interval"),
    ("cron", {"minute": "*/0"}, ("minute",), "the step must be from 1 to 59"),
    ("cron", {"minute": "30-10"}, ("minute",), "minute '30-10' is not understood"),
    ("cron", {"minute": "*-10"}, ("minute",), r"minute '\*-10' is not understood"),
    ("cron", {"minute": "1,,2"}, ("minute",), "minute '' is not understood"),
    ("cron", {"minute": "٣"}, ("minute",), "minute '٣' is not understood"),
    ("cron", {"year": "99999"}, ("year",), "year '99999' is not understood: allowed are 1970-9899"),
    ("cron", {"month": "febr"}, ("month",), "month 'febr' is not understood: .*jan-dec.*did you mean 'feb'"),
    ("cron", {"day": "0"}, ("day",), "day '0' is not understood: .*\"last fri\""),
    ("cron", {"day": "6th mon"}, ("day",), "day '6th mon' is not understood"),
    ("cron", {"day": "1st 0"}, ("day",), "day '1st 0' is not understood"),
    ("cron", {"day_of_week": "mno"}, ("day_of_week",), "allowed are mon-sun, \\*.*did you mean 'mon'"),
    ("cron", {"day_of_week": "1-5"}, ("day_of_week",), "day_of_week '1-5' is ambiguous.*write names, 'mon-fri'"),
    ("cron", {"day_of_week": 0}, ("day_of_week",), "write names, 'sun'"),
    ("cron", {"day_of_week": "6,7"}, ("day_of_week",), "write names, 'sat,sun'"),
    ("cron", {"day_of_week": "*/2"}, ("day_of_week",), "write names, 'mon-fri or mon,wed'"),
    ("cron", {"day_of_week": "12"}, ("day_of_week",), "write names, 'mon-fri or mon,wed'"),
    # cron by expression
    ("cron", {"expression": "0 9 * * 1-5", "hour": 9}, ("hour",), "expression and hour exclude each other"),
    ("cron", {"expression": 5}, ("expression",), "expression '5' needs five fields"),
    ("cron", {"expression": "*/7 29 2 *"}, ("expression",), "needs five fields"),
    ("cron", {"expression": "0 9 * * *" + " " * 300}, ("expression",), "needs five fields"),
    ("cron", {"expression": "61 * * * *"}, ("expression",), "minute '61' is not understood: allowed are 0-59"),
    ("cron", {"expression": "61 0 * * * *"}, ("expression",), "second '61' is not understood"),
    ("cron", {"expression": "0 24 * * *"}, ("expression",), "hour '24' is not understood"),
    ("cron", {"expression": "0 0 32 * *"}, ("expression",), "day-of-month '32' is not understood: allowed are 1-31, L, LW"),
    ("cron", {"expression": "0 0 * 13 *"}, ("expression",), "month '13' is not understood"),
    ("cron", {"expression": "0 0 * * 8"}, ("expression",), "day-of-week '8' is not understood: allowed are 0-7, sun-sat"),
    (
        "cron",
        {"expression": "*/90 * * * *"},
        ("expression",),
        r"minute '\*/90': the step must be from 1 to 59; for longer steps use interval",
    ),
    ("cron", {"expression": "*/0 * * * *"}, ("expression",), r"minute '\*/0': the step must be from 1 to 59"),
    # date and calendar_interval
    ("date", {}, ("run_date",), "run_date None is not an ISO date or time"),
    ("date", {"run_date": "2026-02-30"}, ("run_date",), "run_date '2026-02-30' is not an ISO date or time"),
    ("date", {"run_date": "2016-12-31T23:59:60Z"}, ("run_date",), "is not an ISO date or time"),
    ("calendar_interval", {"hour": 9}, (), "needs one or more of years, months, weeks, days"),
    ("calendar_interval", {"days": 1, "hour": 24}, ("hour",), "hour 24 must be a whole number from 0 to 23"),
    ("calendar_interval", {"days": 1, "minute": 60}, ("minute",), "minute 60 must be a whole number from 0 to 59"),
    ("calendar_interval", {"days": 1.5}, ("days",), "days 1.5 must be a whole number"),
    # combinations
    ("or", {}, ("triggers",), "triggers None must be a list of 1 to 20 triggers"),
    ("or", {"triggers": []}, ("triggers",), r"triggers \[\] must be a list"),
    ("or", {"triggers": [NINE] * 21}, ("triggers",), "must be a list of 1 to 20"),
    ("or", {"triggers": ["cron"]}, ("triggers", 0), "'cron' must be a trigger such as"),
    ("or", {"triggers": [{**NINE, "arg": 1}]}, ("triggers", 0, "arg"), "key of a trigger 'arg' is not known: .*did you mean 'args'"),
    ("or", {"triggers": [NINE, {"trigger": "corn"}]}, ("triggers", 1, "trigger"), "did you mean 'cron'"),
    ("or", {"triggers": [{}]}, ("triggers", 0, "trigger"), "trigger None is not known"),
    ("or", {"triggers": [{"trigger": "cron", "args": [9]}]}, ("triggers", 0, "args"), r"args \[9\] must be a mapping"),
    ("or", {"triggers": [NINE, {"trigger": "cron", "args": {"hour": 25}}]}, ("triggers", 1, "args", "hour"), "hour '25' is not understood"),
    (
        "or",
        {"triggers": [{"trigger": "cron", "args": {"hour": 1, "jitter": 5}}]},
        ("triggers", 0, "args", "jitter"),
        "belongs to the outer trigger",
    ),
    (
        "or",
        {"triggers": [{"trigger": "cron", "args": {"hour": 1, "max_runs": 5}}]},
        ("triggers", 0, "args", "max_runs"),
        "belongs to the outer",
    ),
    ("or", {"triggers": [{"trigger": "or", "args": {"triggers": [NINE]}}]}, ("triggers", 0, "trigger"), "'or' inside 'or'"),
]

NEVER: list[tuple[str, dict[str, Any]]] = [
    ("cron", {"expression": "0 0 31 2 *"}),
    ("cron", {"expression": "0 0 30 2 *"}),
    ("cron", {"expression": "*/7 * 31 4,6,9,11 *"}),
    ("cron", {"expression": "0 0 * 2 mon#5", "start_date": "2025-01-01", "end_date": "2027-01-01"}),
    ("cron", {"day": 31, "month": "feb,apr"}),
    ("cron", {"week": 53, "month": 6}),
    ("cron", {"day": "5th mon", "month": 2, "year": 2027}),
    ("cron", {"day": "1st mon", "week": 53, "second": "*"}),
    ("cron", {"hour": 9, "start_date": "2026-01-01T10:00:00", "end_date": "2026-01-02T08:00:00"}),
    ("cron", {"year": 1999, "start_date": "2026-01-01"}),
    ("and", {"triggers": [NINE, TEN]}),
    (
        "and",
        {"triggers": [{"trigger": "cron", "args": {"second": "*", "hour": 9}}, {"trigger": "cron", "args": {"second": "*", "hour": 10}}]},
    ),
    ("and", {"triggers": [NINE, {"trigger": "cron", "args": {"hour": 9, "end_date": "2020-01-01"}}], "start_date": "2021-01-01"}),
    (
        "and",
        {"triggers": [{"trigger": "interval", "args": {"seconds": 2, "start_date": f"2026-01-01T00:00:0{second}"}} for second in (0, 1)]},
    ),
    ("and", {"triggers": [{"trigger": "or", "args": {"triggers": [NINE] * 20}}, {"trigger": "or", "args": {"triggers": [TEN] * 20}}]}),
]


@pytest.mark.parametrize(("kind", "args", "key", "message"), MISTAKES)
def test_mistakes_name_their_place_and_what_is_allowed(kind: str, args: Any, key: tuple[str | int, ...], message: str) -> None:
    with pytest.raises(TriggerError, match=message) as caught:
        build_trigger(kind, args)
    assert caught.value.key == key


@pytest.mark.parametrize(("kind", "args"), NEVER)
def test_a_trigger_that_never_fires_is_refused_soon(kind: str, args: dict[str, Any], cpu_seconds: Callable[..., float]) -> None:
    def refused() -> None:
        with pytest.raises(TriggerError, match="never fires"):
            build_trigger(kind, args)

    refused()
    assert cpu_seconds(refused) < (0.1 if kind == "and" else 0.02)


def test_a_wrong_zone_of_the_schedule_is_told_as_well() -> None:
    with pytest.raises(TriggerError, match="did you mean 'Europe/Paris'") as caught:
        build_trigger("interval", {"seconds": 1}, "Europe/Pari")
    assert caught.value.key == ("timezone",)
    assert isinstance(caught.value, ValueError)
