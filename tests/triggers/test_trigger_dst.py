"""Daylight saving time: every fire against an oracle that knows nothing of segments and walks UTC minute by minute."""

from collections import Counter
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise, product, takewhile
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from scheduler.triggers import TriggerError, build_trigger, next_fires

MINUTE = timedelta(minutes=1)


class Pattern(NamedTuple):
    """A cron twice: as configured, and as plain sets for the oracle."""

    expression: str
    minutes: AbstractSet[int]
    hours: AbstractSet[int]
    weekdays: AbstractSet[int] = frozenset(range(7))
    follows: bool = False

    def matches(self, reading: datetime) -> bool:
        return reading.minute in self.minutes and reading.hour in self.hours and reading.weekday() in self.weekdays


DAY = set(range(24))
CRONS = [
    Pattern("30 2 * * *", {30}, {2}),
    Pattern("30 1 * * *", {30}, {1}),
    Pattern("0 0 * * *", {0}, {0}),
    Pattern("30 23 * * *", {30}, {23}),
    Pattern("15 3 * * mon-fri", {15}, {3}, {0, 1, 2, 3, 4}),
    Pattern("0,30 2 * * sun", {0, 30}, {2}, {6}),
    Pattern("*/20 1-3 * * *", {0, 20, 40}, {1, 2, 3}),
    Pattern("5 0-5/2 * * *", {5}, {0, 2, 4}),
    Pattern("0 * * * *", {0}, DAY, follows=True),
    Pattern("*/30 * * * *", {0, 30}, DAY, follows=True),
    Pattern("*/7 * * * *", set(range(0, 60, 7)), DAY, follows=True),
    Pattern("0 */2 * * *", {0}, set(range(0, 24, 2)), follows=True),
]
# Zone → the instants at which its clocks went forward, and back.
TRANSITIONS = {
    "America/New_York": ("2026-03-08T07:00", "2026-11-01T06:00"),
    "Europe/Paris": ("2026-03-29T01:00", "2026-10-25T01:00"),
    "Africa/Cairo": ("2026-04-23T22:00", "2026-10-29T21:00"),  # midnight is left out
    "Australia/Lord_Howe": ("2026-10-03T15:30", "2026-04-04T15:00"),  # half an hour
    "Antarctica/Troll": ("2026-03-29T01:00", "2026-10-25T01:00"),  # two hours
    "Pacific/Chatham": ("2026-09-26T14:00", "2026-04-04T14:00"),
    "America/Santiago": ("2026-09-06T04:00", "2026-04-05T03:00"),
    "Asia/Shanghai": ("1986-05-03T18:00", "1986-09-13T17:00"),
    "Pacific/Apia": ("2011-12-30T10:00", "2012-03-31T14:00"),  # a whole day is left out
}
PLACES = [(zone, datetime.fromisoformat(at).replace(tzinfo=UTC)) for zone, both in TRANSITIONS.items() for at in both]


class Oracle:
    """What the clocks on the wall read at every UTC minute within three days of an instant."""

    def __init__(self, zone: str, middle: datetime) -> None:
        minutes = [middle + MINUTE * offset for offset in range(-3 * 1440, 3 * 1440)]
        self.readings = {minute: minute.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for minute in minutes}
        self.instants: dict[datetime, list[datetime]] = {}
        for minute, reading in self.readings.items():
            self.instants.setdefault(reading, []).append(minute)
        self.jumps = [(old, new, minute) for (_, old), (minute, new) in pairwise(self.readings.items()) if new - old > MINUTE]
        self.dates = {reading.date() for reading in self.instants}

    def policies(self, cron: Pattern) -> Iterator[tuple[str, str, set[datetime]]]:
        """Each policy with the instants it asks for."""
        following = {minute for minute, reading in self.readings.items() if cron.matches(reading)}
        first, last = min(self.instants), max(self.instants)
        on_paper = (first + MINUTE * count for count in range((last - first) // MINUTE + 1))
        meant = [reading for reading in on_paper if cron.matches(reading)]
        for gap, fold in product(("shift", "skip"), ("first", "last", "both")):
            yield gap, fold, following if cron.follows else {instant for each in meant for instant in self._resolve(each, gap, fold)}

    def _resolve(self, meant: datetime, gap: str, fold: str) -> list[datetime]:
        if instants := self.instants.get(meant):
            return {"first": instants[:1], "last": instants[-1:], "both": instants}[fold]
        if gap == "skip" or meant.date() not in self.dates:
            return []
        return [minute for old, new, minute in self.jumps if old < meant < new]


def fires(args: Mapping[str, Any], zone: str, start: datetime, end: datetime) -> list[datetime]:
    trigger = build_trigger("cron", args, zone)
    found = takewhile(lambda instant: instant < ms(end), trigger.instants(ms(start) - 1))
    return [datetime.fromtimestamp(instant / 1000, UTC) for instant in found]


def ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000


@pytest.mark.parametrize(("zone", "transition"), PLACES, ids=[f"{zone}-{at:%Y-%m-%d}" for zone, at in PLACES])
def test_every_fire_around_a_transition(zone: str, transition: datetime) -> None:
    oracle = Oracle(zone, transition)
    start, end = transition - timedelta(hours=40), transition + timedelta(hours=40)
    assert oracle.readings[transition] - oracle.readings[transition - MINUTE] != MINUTE, "the table must name a real transition"
    for cron in CRONS:
        for gap, fold, expected in oracle.policies(cron):
            found = fires({"expression": cron.expression, "dst": {"gap": gap, "fold": fold}}, zone, start, end)
            assert found == sorted(instant for instant in expected if start <= instant < end), (cron.expression, gap, fold)


@pytest.mark.parametrize(
    ("expression", "zone", "after", "dst", "expected"),
    [
        # The cases that users of other schedulers met, worked out by hand.
        ("30 2 * * *", "America/New_York", "2026-03-07T12:00", {}, ["2026-03-08T07:00", "2026-03-09T06:30"]),
        ("30 2 * * *", "America/New_York", "2026-03-07T12:00", {"gap": "skip"}, ["2026-03-09T06:30", "2026-03-10T06:30"]),
        ("30 1 * * *", "America/New_York", "2026-10-31T12:00", {}, ["2026-11-01T05:30", "2026-11-02T06:30"]),
        ("30 1 * * *", "America/New_York", "2026-10-31T12:00", {"fold": "last"}, ["2026-11-01T06:30", "2026-11-02T06:30"]),
        ("30 1 * * *", "America/New_York", "2026-10-31T12:00", {"fold": "both"}, ["2026-11-01T05:30", "2026-11-01T06:30"]),
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00", {}, ["2026-04-23T22:00", "2026-04-24T21:00"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", {}, ["2026-10-03T15:30", "2026-10-04T15:15"]),
        ("30 1 * * *", "Antarctica/Troll", "2026-03-28T12:00", {}, ["2026-03-29T01:00", "2026-03-29T23:30"]),
        ("0 9 * * *", "Pacific/Apia", "2011-12-29T12:00", {}, ["2011-12-29T19:00", "2011-12-30T19:00"]),
        ("30 23 * * *", "America/Nuuk", "2025-03-29T12:00", {}, ["2025-03-30T01:00", "2025-03-31T00:30"]),  # 23:00 becomes midnight
        ("*/10 2 * * *", "America/New_York", "2026-03-08T00:00", {}, ["2026-03-08T07:00", "2026-03-09T06:00"]),  # six times become one
        ("0 0-23 * * *", "America/New_York", "2026-11-01T05:30", {}, ["2026-11-01T06:00", "2026-11-01T07:00"]),  # all hours: follows
    ],
)
def test_known_answers(expression: str, zone: str, after: str, dst: dict[str, str], expected: list[str]) -> None:
    start = datetime.fromisoformat(after).replace(tzinfo=UTC)
    found = fires({"expression": expression, "dst": dst}, zone, start, start + timedelta(days=4))[:2]
    assert [f"{instant:%Y-%m-%dT%H:%M}" for instant in found] == expected


@pytest.mark.parametrize("zone", TRANSITIONS)
@pytest.mark.parametrize("args", [{"hour": 0}, {"hour": 1, "minute": 30}, {"hour": 2, "minute": 30}, {"hour": 23, "minute": 30}])
@pytest.mark.parametrize("fold", ["first", "last"])
def test_a_daily_cron_fires_once_in_every_local_day(zone: str, args: dict[str, int], fold: str) -> None:
    year = int(TRANSITIONS[zone][0][:4])
    start, end = datetime(year, 1, 3, tzinfo=UTC), datetime(year, 12, 31, 23, tzinfo=UTC)
    found = fires({**args, "dst": {"fold": fold}}, zone, start, end)
    days = Counter(instant.astimezone(ZoneInfo(zone)).date() for instant in found)
    first, last = min(days), max(days)
    existing = {date.fromordinal(day) for day in range(first.toordinal(), last.toordinal() + 1)} - {date(2011, 12, 30)}
    assert days == Counter(existing)


@pytest.mark.parametrize("zone", TRANSITIONS)
def test_intervals_do_not_see_the_clocks_change(zone: str) -> None:
    for at in TRANSITIONS[zone]:
        start = ms(datetime.fromisoformat(at).replace(tzinfo=UTC)) - 5_400_000
        found = next_fires(build_trigger("interval", {"minutes": 30}, zone), start, 12)
        assert {later - earlier for earlier, later in pairwise(found)} == {1_800_000}


@pytest.mark.parametrize(
    ("dst", "expected"),
    [
        ({}, ["2026-11-01T05:30"]),
        ({"fold": "last"}, ["2026-11-01T06:30"]),
        ({"fold": "both"}, ["2026-11-01T05:30", "2026-11-01T06:30"]),
    ],
)
def test_a_single_date_knows_the_policy_too(dst: dict[str, str], expected: list[str]) -> None:
    trigger = build_trigger("date", {"run_date": "2026-11-01 01:30", "dst": dst}, "America/New_York")
    assert [f"{datetime.fromtimestamp(instant / 1000, UTC):%Y-%m-%dT%H:%M}" for instant in next_fires(trigger, 0, 5)] == expected


def test_a_single_date_in_a_gap() -> None:
    args = {"run_date": "2026-03-08 02:30"}
    assert build_trigger("date", args, "America/New_York").next(0) == ms(datetime(2026, 3, 8, 7, tzinfo=UTC))
    with pytest.raises(TriggerError, match="never fires"):
        build_trigger("date", {**args, "dst": {"gap": "skip"}}, "America/New_York")


def test_steps_of_days_know_the_policy_too() -> None:
    args = {"days": 1, "hour": 2, "minute": 30, "start_date": "2026-03-07"}
    shifted = next_fires(build_trigger("calendar_interval", args, "America/New_York"), 0, 3)
    assert [f"{datetime.fromtimestamp(instant / 1000, UTC):%d %H:%M}" for instant in shifted] == ["07 07:30", "08 07:00", "09 06:30"]
    skipped = next_fires(build_trigger("calendar_interval", {**args, "dst": {"gap": "skip"}}, "America/New_York"), 0, 2)
    assert [f"{datetime.fromtimestamp(instant / 1000, UTC):%d %H:%M}" for instant in skipped] == ["07 07:30", "09 06:30"]
