"""Schedules that come, change, rest and go while the timers work."""

import json
import logging
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from apscheduler.events import EVENT_JOB_SUBMITTED
from apscheduler.jobstores.base import JobLookupError

from scheduler.core.clock import monotonic
from scheduler.core.errors import ConflictError, UnknownScheduleError
from scheduler.queue import ScheduleBook
from scheduler.timing import Timer
from scheduler.triggers import TriggerError

START_MS = 1_800_000_000_000
HOUR_MS = 3_600_000


def names_of(runs: list[str]) -> set[str]:
    return {run.partition("@")[0] for run in runs}


def test_a_schedule_made_on_one_instance_fires_on_the_leader(world: Any, make: Any) -> None:
    leader, other = world.timer("a"), world.timer("b")
    world.work(leader, other)
    other.add(make("new"))
    world.go(3000, leader, other)
    assert world.runs() == world.expected(START_MS + 1000, START_MS + 3000, name="new")
    assert world.book.get_schedule("new").source == "api"


def test_a_removed_schedule_fires_no_more_not_even_before_the_leader_has_noticed(world: Any, make: Any) -> None:
    timer = world.timer()
    timer.add(make())
    world.work(timer)
    world.go(2000, timer)
    timer.remove("tick")
    world.pass_ms(900)
    world.queue.functions.now = START_MS + 3000
    world.work(timer)
    world.go(3000, timer)
    assert world.runs() == world.expected(START_MS + 1000, START_MS + 2000)
    assert timer.jobs.jobs == {}
    assert world.client.hgetall(f"{world.queue.prefix}fired") == {}


def test_pause_holds_at_once_and_resume_goes_on_from_then(world: Any, make: Any) -> None:
    leader, other = world.timer("a"), world.timer("b")
    world.save(make(max_instances=100), make("other", max_instances=100))
    world.work(leader, other)
    world.go(2000, leader, other)
    assert other.pause("tick")
    assert not other.pause("tick")
    world.go(10_250, leader, other)
    assert other.resume("tick")
    assert not other.resume("tick")
    world.go(2000, leader, other)
    ticks = [run for run in world.runs() if run.startswith("tick@")]
    assert ticks == world.expected(START_MS + 1000, START_MS + 2000) + world.expected(START_MS + 13_000, START_MS + 14_000)
    assert len(world.runs()) - len(ticks) == 14
    assert world.missed() == [("tick", "paused", 10)]
    assert [event.type for event in world.events("paused", "resumed")] == ["paused", "resumed"]


def test_what_passed_in_several_pauses_is_told_once_by_whoever_leads_then(world: Any, make: Any) -> None:
    first = world.timer("a")
    world.save(make())
    world.work(first)
    world.go(2000, first)
    first.leader.resign()
    for _ in range(2):
        first.pause("tick")
        world.pass_ms(4500)
        first.resume("tick")
    second, third = world.timer("b"), world.timer("c")
    world.work(second)
    world.go(1000, second)
    assert world.missed() == [("tick", "paused", 8)]
    world.work(third)
    world.go(8000, second, third)
    assert world.missed() == [("tick", "paused", 8)]


def test_the_word_about_a_pause_may_get_lost_on_its_way(world: Any, make: Any) -> None:
    line = world.bad_line()
    timer = world.timer(store=line)
    world.save(make(max_instances=100))
    world.work(timer)
    timer.pause("tick")
    world.go(3250, timer)
    timer.resume("tick")
    line.methods = {"fire"}
    world.go(2000, timer)
    line.methods = set()
    world.go(2000, timer)
    assert line.lost > 0
    assert world.missed() == [("tick", "paused", 3)]
    assert world.runs() == world.expected(START_MS + 4000, START_MS + 7000)


def test_a_pause_between_two_instants_is_no_news(world: Any, make: Any) -> None:
    timer = world.timer()
    world.save(make(args={"minutes": 1}))
    world.work(timer)
    timer.pause("tick")
    world.go(5000, timer)
    timer.resume("tick")
    world.go(120_000, timer)
    assert world.missed() == []
    assert len(world.runs()) == 2


def test_a_pause_survives_a_restart_and_is_gone_with_its_schedule(world: Any, make: Any) -> None:
    timer = world.timer()
    timer.add(make())
    timer.pause("tick")
    again = world.timer()
    world.work(again)
    world.go(3000, again)
    assert world.runs() == []
    again.remove("tick")
    again.add(make())
    world.go(2000, again)
    assert len(world.runs()) == 2


@pytest.mark.parametrize("method", ["remove", "pause", "resume"])
def test_unknown_names_are_refused_with_the_nearest(world: Any, make: Any, method: str) -> None:
    timer = world.timer()
    timer.add(make("daily_report"))
    world.work(timer)
    with pytest.raises(UnknownScheduleError, match="no schedule 'daily_reprot', did you mean 'daily_report'"):
        getattr(timer, method)("daily_reprot")
    with pytest.raises(UnknownScheduleError, match=r"^no schedule 'zzz'$"):
        getattr(timer, method)("zzz")


def test_a_wrong_trigger_is_refused_when_it_is_added(world: Any, make: Any) -> None:
    timer = world.timer()
    with pytest.raises(TriggerError, match="never fires"):
        timer.add(make(trigger="cron", args={"expression": "0 0 31 2 *"}))
    assert world.book.load_schedules() == {}


def test_what_yaml_defines_only_yaml_changes(world: Any, make: Any) -> None:
    timer = world.timer()
    timer.sync_yaml([make()])
    with pytest.raises(ConflictError, match="'tick' is defined in YAML"):
        timer.add(make(args={"seconds": 5}))
    with pytest.raises(ConflictError, match="'tick' is defined in YAML"):
        timer.remove("tick")


def test_the_configuration_is_carried_into_the_store(world: Any, make: Any) -> None:
    timer = world.timer()
    timer.add(make("by_api"))
    first = timer.sync_yaml([make("kept"), make("changed"), make("removed")])
    assert first == (["changed", "kept", "removed"], [], [])
    second = timer.sync_yaml([make("kept"), make("changed", coalesce=True), make("new")])
    assert list(second.lines()) == ["+ new", "~ changed", "- removed"]
    assert set(world.book.load_schedules()) == {"by_api", "kept", "changed", "new"}
    assert timer.sync_yaml([make("kept"), make("changed", coalesce=True), make("new")]) == ([], [], [])


def test_the_configuration_wins_over_the_api(world: Any, make: Any) -> None:
    timer = world.timer()
    timer.add(make())
    assert list(timer.sync_yaml([make()]).lines()) == ["~ tick"]
    assert world.book.get_schedule("tick").source == "yaml"


def test_a_reload_keeps_the_next_fire_of_what_has_not_changed(world: Any, make: Any) -> None:
    timer = world.timer()
    timer.sync_yaml([make("kept", args={"hours": 1}), make("quicker", args={"hours": 1}), make("renamed", args={"hours": 1})])
    world.work(timer)
    world.go(HOUR_MS, timer, tick_ms=HOUR_MS // 2)
    kept = timer.jobs.jobs["kept"]
    world.pass_ms(HOUR_MS - 2000)
    timer.sync_yaml(
        [make("kept", args={"hours": 1}), make("quicker", args={"seconds": 1}), make("renamed", args={"hours": 1}, params={"a": 1})]
    )
    world.work(timer)
    assert timer.jobs.jobs["kept"] is kept
    world.go(2000, timer, tick_ms=1000)
    second = START_MS + 2 * HOUR_MS
    assert world.expected(second - HOUR_MS, second, HOUR_MS, "kept") == [run for run in world.runs() if run.startswith("kept")]
    assert world.expected(second - HOUR_MS, second, HOUR_MS, "renamed") == [run for run in world.runs() if run.startswith("renamed")]
    assert [run for run in world.runs() if run.startswith("quicker")][1:] == world.expected(second - 1000, second, name="quicker")
    assert world.missed() == []


def test_downtime_counts_even_when_the_configuration_is_entered_again(world: Any, make: Any) -> None:
    daily = make(trigger="cron", args={"hour": 9, "minute": 0})
    timer = world.timer()
    timer.sync_yaml([daily])
    world.work(timer)
    world.pass_ms(3 * 24 * HOUR_MS)
    again = world.timer("again")
    assert again.sync_yaml([replace(daily)]) == ([], [], [])
    world.work(again)
    assert world.missed() == [("tick", "misfired", 2)]
    assert world.runs() == ["tick@20270117T090000Z"]


def test_new_code_of_a_trigger_is_used_after_a_rebuild(world: Any, make: Any) -> None:
    seconds = [10]
    build = world.wiring.build
    wiring = replace(world.wiring, build=lambda s: build(replace(s, trigger="interval", args={"seconds": seconds[0]})))
    timer = world.timer(wiring=wiring)
    world.save(make(trigger="custom", args={"class": "mine:Own"}))
    world.work(timer)
    world.go(10_000, timer)
    seconds[0] = 5
    timer.reload()
    world.go(10_000, timer)
    assert world.runs() == world.expected(START_MS + 10_000, START_MS + 20_000, 10_000)
    timer.reload(rebuild=True)
    world.go(5000, timer)
    assert world.runs()[2:] == world.expected(START_MS + 25_000, START_MS + 25_000)


def test_a_broken_schedule_is_parked_and_never_deleted(world: Any, make: Any, caplog: pytest.LogCaptureFixture) -> None:
    world.save(make(), make("broken", "cron", {"hour": 99}), make("custom", "custom", {"class": "mine:Own"}))
    timer = world.timer()
    world.work(timer)
    assert set(timer.jobs.parked) == {"broken", "custom"}
    assert "99" in timer.jobs.parked["broken"]
    timer.reload()
    world.go(2000, timer)
    assert names_of(world.runs()) == {"tick"}
    assert set(world.book.load_schedules()) == {"tick", "broken", "custom"}
    assert len([record for record in caplog.records if "broken is parked" in record.getMessage()]) == 1
    world.save(make("broken", "cron", {"second": "*"}))
    world.go(2000, timer)
    assert names_of(world.runs()) == {"tick", "broken"}
    assert set(timer.jobs.parked) == {"custom"}


@pytest.mark.parametrize("text", ["", "not json", "[]", "{}", '{"name": "x"}', '{"task": 5}', "null"])
def test_garbage_in_the_store_harms_nobody(world: Any, make: Any, text: str, caplog: pytest.LogCaptureFixture) -> None:
    world.save(make())
    world.client.hset(f"{world.queue.prefix}schedules", "garbage", text)
    timer = world.timer()
    world.work(timer)
    world.go(2000, timer)
    assert names_of(world.runs()) == {"tick"}
    assert world.client.hget(f"{world.queue.prefix}schedules", "garbage") == text
    assert "garbage: its definition in the store cannot be read" in caplog.text
    world.save(make("garbage"))
    world.go(2000, timer)
    assert names_of(world.runs()) == {"tick", "garbage"}


def test_a_standby_knows_all_schedules_before_it_leads(world: Any, make: Any) -> None:
    leader, standby = world.timer("a"), world.timer("b")
    world.work(leader, standby)
    leader.add(make())
    world.go(1000, leader, standby)
    assert set(standby.jobs.jobs) == {"tick"}
    job = standby.jobs.jobs["tick"]
    leader.leader.resign()
    world.go(1000, standby)
    assert standby.jobs.jobs["tick"] is job
    assert standby.leader.epoch


def test_a_thousand_schedules_are_saved_in_portions(world: Any, make: Any) -> None:
    world.save(*(make(f"s{number}") for number in range(450)))
    assert len(world.book.load_schedules()) == 450
    world.book.remove_schedules([f"s{number}" for number in range(449)])
    assert list(world.book.load_schedules()) == ["s449"]


# ── The book's own words ──────────────────────────────────────────────────────────────────────────────────────────


def test_where_a_schedule_stands_depends_on_the_clock(world: Any, make: Any) -> None:
    world.save(make())
    ranges = f"0;7;{START_MS - 9000}-{START_MS - 5000},{START_MS + 60_000}-{START_MS + 90_000}"
    world.client.hset(f"{world.queue.prefix}fired", "tick", ranges)
    assert world.book.load_schedules()["tick"][1] == (START_MS - 5000, 0, 7, START_MS - 9000, 0)
    world.step_clock(70_000)
    assert world.book.load_schedules()["tick"][1] == (START_MS + 90_000, 0, 7, START_MS - 9000, 0)
    world.step_clock(-10 * HOUR_MS)
    assert world.book.load_schedules()["tick"][1] == (0, 0, 7, START_MS - 9000, 0)


def test_without_a_stand_in_the_servers_own_clock_counts(world: Any) -> None:
    world.queue.functions.now = ""
    assert abs(world.book.now_ms() - datetime.now(UTC).timestamp() * 1000) < 5000  # noqa: TID251 - compared with the server's clock


def test_who_leads(world: Any) -> None:
    assert world.book.leader() == ("", 0)
    world.work(world.timer("me"))
    assert world.book.leader() == ("me", 1)


# ── APScheduler's side ────────────────────────────────────────────────────────────────────────────────────────────


def test_listeners_hear_of_fires_and_cannot_harm_them(world: Any, make: Any) -> None:
    timer, heard = world.timer(), []

    def listen(event: Any) -> None:
        heard.append((event.job_id, event.scheduled_run_times))
        raise ArithmeticError

    timer.add_listener(listen, EVENT_JOB_SUBMITTED)
    world.save(make())
    world.work(timer)
    world.go(1000, timer)
    assert heard == [("tick", [datetime(2027, 1, 15, 8, 0, 1, tzinfo=UTC)])]
    assert len(world.runs()) == 1


def test_jobs_can_be_looked_at(world: Any, make: Any) -> None:
    world.save(make("b"), make("a", args={"hours": 1}), make("z", "date", {"run_date": "2027-01-15T08:00:01Z"}))
    timer = world.timer()
    world.work(timer)
    world.go(1000, timer)
    assert [job.id for job in timer.get_jobs()] == ["b", "a", "z"]
    assert [job.name for job in timer.get_jobs()] == ["b", "a", "z"]
    assert timer.get_job("b").next_run_time == datetime(2027, 1, 15, 8, 0, 2, tzinfo=UTC)
    assert timer.get_job("z").next_run_time is None
    assert timer.get_job("none") is None
    assert "next run at: 2027-01-15 08:00:02 UTC" in str(timer.get_job("b"))


def test_functions_and_changed_jobs_are_refused(world: Any, make: Any) -> None:
    world.save(make())
    timer = world.timer()
    world.work(timer)
    with pytest.raises(TypeError, match=r"add a Schedule with Timer\.add"):
        timer.add_job(print, "interval", seconds=1)
    with pytest.raises(AttributeError, match=r"change that with Timer\.add, not max_instances"):
        timer.modify_job("tick", max_instances=5)


def test_jobs_are_stored_and_removed_for_everybody(world: Any, make: Any) -> None:
    world.save(make("a"), make("b"), make("broken", "cron", {"hour": 99}))
    timer, other = world.timer(), world.timer("other", store=ScheduleBook(world.queue))
    world.work(timer)
    job = timer.get_job("a")
    timer.remove_job("a")
    assert set(world.book.load_schedules()) == {"b", "broken"}
    timer.jobs.add_job(job)
    assert set(world.book.load_schedules()) == {"a", "b", "broken"}
    with pytest.raises(JobLookupError):
        timer.jobs.remove_job("none")
    timer.remove_all_jobs()
    world.go(1000, timer, other)
    assert (timer.jobs.jobs, other.jobs.jobs, world.book.load_schedules()) == ({}, {}, {})


def test_an_instant_beyond_the_calendars_end_is_never(world: Any, make: Any) -> None:
    timer = world.timer()
    world.save(make())
    world.work(timer)
    job = timer.get_job("tick")
    job.next_ms = 2**62
    assert job.next_run_time.year == 9999


def test_it_runs_until_told_to_stop_and_then_resigns(client: Any, world: Any, make: Any) -> None:
    """In a thread, on real clocks."""
    world.queue.functions.now = ""
    world.save(make(args={"seconds": 0.05}, max_instances=1000))
    timer = Timer(world.book, "real", world.wiring)
    stop = threading.Event()
    thread = threading.Thread(target=timer.run, args=(stop,))
    thread.start()
    deadline = monotonic() + 20
    while len(world.runs()) < 3 and monotonic() < deadline:
        stop.wait(0.02)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert len(world.runs()) >= 3
    assert timer.leader.epoch == 0
    assert client.hget(f"{world.queue.prefix}lead", "until") == "0"


def test_shutdown_resigns(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    timer = world.timer()
    world.work(timer)
    with caplog.at_level(logging.INFO):
        timer.shutdown()
    assert not timer.running
    assert "a leads no longer (epoch 1): it resigns" in caplog.text


def test_a_failure_inside_the_library_loses_no_fire(world: Any, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world.save(make("a", max_instances=100), make("b", max_instances=100))
    timer = world.timer()
    world.work(timer)
    world.go(1000, timer)
    monkeypatch.setattr(timer.jobs, "get_next_run_time", lambda: json.loads("{"))
    world.go(3000, timer)
    assert len(world.runs()) == 2
    monkeypatch.undo()
    world.go(1000, timer)
    assert sorted(world.runs()) == sorted(
        world.expected(START_MS + 1000, START_MS + 5000, name="a") + world.expected(START_MS + 1000, START_MS + 5000, name="b")
    )


def test_a_job_that_never_fires_again_has_no_run_times(world: Any, make: Any) -> None:
    world.save(make(trigger="date", args={"run_date": "2027-01-15T08:00:01Z"}))
    timer = world.timer()
    world.work(timer)
    world.go(1000, timer)
    assert timer.get_job("tick")._get_run_times(datetime(2030, 1, 1, tzinfo=UTC)) == []
