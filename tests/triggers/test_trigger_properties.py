"""What holds for every trigger, zone and instant; and that our crons agree with APScheduler and cronsim where no clock changes."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from apscheduler.triggers.cron import CronTrigger
from cronsim import CronSim
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scheduler.triggers import TriggerError, build_trigger, next_fires
from scheduler.triggers.zones import segments

HOUR = 3_600_000
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

zones = st.sampled_from(sorted(available_timezones()))
instants = st.integers(2 * 86_400_000, 2_800_000_000_000)  # until 2058; to APScheduler there is no local time before 1970
policies = st.fixed_dictionaries(
    {}, optional={"gap": st.sampled_from(["shift", "skip"]), "fold": st.sampled_from(["first", "last", "both"])}
)


def spans(low: int, high: int) -> st.SearchStrategy[str]:
    """Texts of one field that APScheduler, crontab and we read alike."""
    numbers = st.integers(low, high)
    ranges = st.tuples(numbers, numbers).map(lambda ends: f"{min(ends)}-{max(ends)}")
    steps = st.integers(1, (high - low) // 2).map(lambda step: f"*/{step}")
    return st.one_of(
        st.just("*"), numbers.map(str), ranges, steps, st.lists(numbers, min_size=2, max_size=4).map(lambda many: ",".join(map(str, many)))
    )


weekdays = st.one_of(st.just("*"), st.sampled_from(WEEKDAYS), st.just("mon-fri"), st.just("tue,thu,sun"))
days = st.one_of(spans(1, 31), st.sampled_from(["last", "1st mon", "3rd sun", "last fri", "5th wed"]))
fields = st.fixed_dictionaries(
    {},
    optional={
        "month": spans(1, 12),
        "day": days,
        "week": spans(1, 53),
        "day_of_week": weekdays,
        "hour": spans(0, 23),
        "minute": spans(0, 59),
        "second": spans(0, 59),
    },
).filter(bool)
expressions = st.tuples(spans(0, 59), spans(0, 23), spans(1, 31), spans(1, 12), spans(0, 7)).map(" ".join)


def cron_or_none(args: dict[str, Any], zone: str = "UTC") -> Any:
    """The trigger, or None where the drawn fields happen to share no day."""
    try:
        return build_trigger("cron", args, zone)
    except TriggerError as error:
        if "never fires" not in str(error):
            raise
        return None


@settings(max_examples=300, deadline=None)
@given(fields, instants)
def test_fields_mean_what_they_mean_to_apscheduler(args: dict[str, str], after: int) -> None:
    trigger = cron_or_none(args)
    theirs = CronTrigger(**args, timezone="UTC", end_date=datetime(2099, 1, 1, tzinfo=UTC))
    moment, expected = datetime.fromtimestamp(after // 1000 + 1, UTC), []
    while len(expected) < 3 and (found := theirs.get_next_fire_time(None, moment)):
        expected.append(int(found.timestamp()) * 1000)
        moment = datetime.fromtimestamp(found.timestamp() + 1, UTC)
    assert expected == ([] if trigger is None else next_fires(trigger, after, 3)[: len(expected)])


@settings(max_examples=300, deadline=None)
@given(expressions, instants)
def test_expressions_mean_what_they_mean_to_cronsim(expression: str, after: int) -> None:
    trigger = cron_or_none({"expression": expression})
    if trigger:
        theirs = CronSim(expression, datetime.fromtimestamp(after // 1000, UTC))
        assert next_fires(trigger, after, 3) == [int(next(theirs).timestamp()) * 1000 for _ in range(3)]


@settings(max_examples=2000, deadline=None)
@given(fields, zones, policies, instants)
@example({"hour": "2", "minute": "30"}, "America/New_York", {"fold": "both"}, 1_793_500_000_000)
@example({"hour": "1", "minute": "*/10"}, "America/New_York", {"fold": "both"}, 1_793_510_000_000)
@example({"hour": "0"}, "Africa/Cairo", {}, 1_776_950_000_000)
def test_instants_increase_depend_on_nothing_else_and_match_a_reading_that_exists(
    args: dict[str, str], zone: str, dst: dict[str, str], after: int
) -> None:
    trigger = cron_or_none({**args, "dst": dst}, zone)
    if trigger is None:
        return
    found = next_fires(trigger, after, 12)
    assert all(earlier < later for earlier, later in pairwise([after, *found]))
    for earlier, later in pairwise([after, *found]):
        assert trigger.next(earlier) == later
        assert trigger.next(later - 1) == later
    everywhere = CronTrigger(**args, timezone="UTC")
    for instant in found:
        reading = datetime.fromtimestamp(instant / 1000, ZoneInfo(zone)).replace(tzinfo=UTC)
        assert everywhere.get_next_fire_time(None, reading) == reading or ends_a_gap(zone, instant)


def ends_a_gap(zone: str, instant: int) -> bool:
    now, before = (datetime.fromtimestamp(second, ZoneInfo(zone)).replace(tzinfo=UTC) for second in (instant / 1000, instant / 1000 - 1))
    return (now - before).total_seconds() > 1


@settings(max_examples=200, deadline=None)
@given(zones, st.integers(1970, 2060))
def test_segments_cover_the_year_and_carry_the_offsets_of_the_zone(zone: str, year: int) -> None:
    found = segments(ZoneInfo(zone), year)
    assert found[0].start == datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000
    assert found[-1].end == datetime(year + 1, 1, 1, tzinfo=UTC).timestamp() * 1000
    for earlier, later in pairwise(found):
        assert (earlier.end, earlier.offset, earlier.after) == (later.start, later.before, later.offset)
    for segment in found:
        for instant in {segment.start, segment.end - 1000, *range(segment.start, segment.end, 60 * HOUR)}:
            offset = datetime.fromtimestamp(instant // 1000, ZoneInfo(zone)).utcoffset()
            assert offset is not None
            assert offset.total_seconds() * 1000 == segment.offset


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {}, optional={"years": st.integers(0, 3), "months": st.integers(0, 20), "weeks": st.integers(0, 5), "days": st.integers(0, 40)}
    ),
    st.dates(min_value=datetime(1971, 1, 1).date(), max_value=datetime(2050, 1, 1).date()),  # noqa: DTZ001 -- dates of a calendar
    instants,
)
def test_steps_of_the_calendar_are_found_from_anywhere(steps: dict[str, int], start: Any, after: int) -> None:
    if not any(steps.values()):
        return
    trigger = build_trigger("calendar_interval", {**steps, "start_date": start.isoformat(), "hour": 7})
    from_start = next_fires(trigger, 0, 60)
    for earlier, later in pairwise(from_start):
        assert trigger.next(earlier) == later
        assert trigger.next(later - 1) == later
    if from_start and after < from_start[-1]:
        assert trigger.next(after) == next(instant for instant in from_start if instant > after)


@settings(deadline=None)
@given(st.floats(0.001, 10**6), st.integers(0, 2 * 10**12), instants)
def test_intervals_stay_on_their_grid(seconds: float, anchor: int, after: int) -> None:
    start = datetime.fromtimestamp(anchor / 1000, UTC).isoformat(timespec="milliseconds")
    trigger = build_trigger("interval", {"seconds": seconds, "start_date": start})
    step = round(seconds * 1000)
    found = trigger.next(after)
    assert found is not None
    assert found > after
    assert (found - anchor) % step == 0
    assert found == anchor or found - step <= after
