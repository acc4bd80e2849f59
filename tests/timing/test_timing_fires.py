"""From due instants to Runs: what one leader does in peace."""

import json
from typing import Any

import pytest

from scheduler.core.ids import fire_id, fire_instant
from scheduler.core.run import Submission

START_MS = 1_800_000_000_000
HOUR_MS = 3_600_000


def test_every_second_one_run_and_never_two(world: Any, make: Any) -> None:
    world.save(make(max_instances=100))
    timer = world.timer()
    world.work(timer)
    world.go(10_000, timer)
    assert world.runs() == world.expected(START_MS + 1000, START_MS + 10_000)
    assert world.missed() == []


def test_nothing_fires_for_the_time_before_a_schedule_was_known(world: Any, make: Any) -> None:
    timer = world.timer()
    world.work(timer)
    world.pass_ms(HOUR_MS)
    world.save(make())
    world.go(2000, timer)
    assert world.runs() == world.expected(START_MS + HOUR_MS + 1000, START_MS + HOUR_MS + 2000)


def test_a_step_says_how_long_it_may_sleep(world: Any, make: Any) -> None:
    timer = world.timer()
    world.work(timer)
    assert timer.step() <= 1
    world.save(make())
    world.pass_ms(1000)
    world.work(timer)
    world.pass_ms(700)
    assert timer.step() == pytest.approx(0.3)


def test_the_run_is_what_the_centre_makes_of_the_fire(world: Any, make: Any) -> None:
    world.save(make(params={"source": "api"}))
    timer = world.timer()
    world.work(timer)
    world.go(1000, timer)
    run = world.queue.get(fire_id("tick", START_MS + 1000))
    assert (run.task, run.schedule, run.scheduled_ms, run.params) == ("tick_task", "tick", START_MS + 1000, {"source": "api"})


def test_jitter_delays_the_run_but_not_its_name(world: Any, make: Any) -> None:
    world.save(make(args={"seconds": 1, "jitter": "10m"}))
    timer = world.timer()
    world.work(timer)
    world.go(2000, timer)
    assert world.runs() == world.expected(START_MS + 1000, START_MS + 2000)
    runs = [world.queue.get(run) for run in world.runs()]
    delays = [run.due_ms - run.created_ms for run in runs]
    assert delays == [world.wiring.jitter("tick", run.scheduled_ms, 600_000) for run in runs]
    assert delays[0] != delays[1]


def test_a_cron_in_a_zone_follows_its_wall_clock_through_a_change_of_time(world: Any, make: Any) -> None:
    """Sydney leaves daylight saving time on 4 April 2027: 02:30 comes twice, the first is taken."""
    world.save(make(trigger="cron", args={"expression": "30 2 * * *"}, timezone="Australia/Sydney"))
    timer = world.timer()
    world.work(timer)
    world.pass_ms(1_806_760_800_000 - START_MS)  # 2027-04-03 13:20 UTC
    world.work(timer)
    before = len(world.runs())
    world.go(27 * HOUR_MS, timer, tick_ms=HOUR_MS // 4)
    assert world.runs()[before:] == ["tick@20270403T153000Z", "tick@20270404T163000Z"]


def test_many_schedules_due_at_one_moment_take_several_steps(world: Any, make: Any) -> None:
    world.save(*(make(f"s{number:04}") for number in range(1200)))
    timer = world.timer()
    world.work(timer)
    world.pass_ms(1000)
    assert [timer.step() for _ in range(2)] == [0, 0]
    assert timer.step() > 0
    assert sorted(world.runs()) == [fire_id(f"s{number:04}", START_MS + 1000) for number in range(1200)]


def test_a_bound_on_the_number_of_runs_holds_over_a_change_of_leader(world: Any, make: Any) -> None:
    world.save(make(args={"seconds": 1, "max_runs": 5}, max_instances=100))
    first, second = world.timer("a"), world.timer("b")
    world.work(first)
    world.go(3000, first)
    first.leader.resign()
    world.work(second)
    world.go(10_000, second)
    assert world.runs() == world.expected(START_MS + 1000, START_MS + 5000)
    assert world.book.load_schedules()["tick"][1] == (START_MS + 5000, 0, 5, START_MS, 0)
    again = world.timer("c")
    second.leader.resign()
    world.work(again)
    world.go(3000, again)
    assert len(world.runs()) == 5


def test_a_bound_on_the_number_of_runs_holds_within_one_catch_up(world: Any, make: Any) -> None:
    world.save(make(args={"seconds": 1, "max_runs": 4}, misfire="run_all", max_instances=100))
    world.pass_ms(60_000)
    timer = world.timer()
    world.work(timer)
    assert world.runs() == world.expected(START_MS + 1000, START_MS + 4000)


def test_a_date_fires_once_however_often_the_instances_restart_around_it(world: Any, make: Any) -> None:
    world.save(make(trigger="date", args={"run_date": "2027-01-15T08:00:05+00:00"}))
    for number in range(10):
        timer = world.timer(f"i{number}")
        world.work(timer)
        world.go(1000, timer)
        timer.leader.resign()
    assert world.runs() == [fire_id("tick", START_MS + 5000)]
    assert "tick" in world.book.load_schedules()


def test_a_date_that_passed_while_nobody_was_there_fires_late(world: Any, make: Any) -> None:
    world.save(make(trigger="date", args={"run_date": "2027-01-15T09:00:00+00:00"}))
    world.pass_ms(10 * HOUR_MS)
    timer = world.timer()
    world.work(timer)
    assert world.runs() == [fire_id("tick", START_MS + HOUR_MS)]


def test_a_date_in_the_past_is_recorded_once_and_does_not_run(world: Any, make: Any) -> None:
    world.save(make(trigger="date", args={"run_date": "2020-01-01T00:00:00+00:00"}))
    for number in range(3):
        timer = world.timer(f"i{number}")
        world.work(timer)
        world.go(2000, timer)
        timer.leader.resign()
    assert world.runs() == []
    assert world.missed() == [("tick", "passed", 1)]


def test_a_date_that_has_only_just_passed_when_it_is_made_runs(world: Any, make: Any) -> None:
    """Somebody asked for "now", and the request took a moment."""
    timer = world.timer()
    world.work(timer)
    world.pass_ms(5000)
    timer.add(make(trigger="date", args={"run_date": "2027-01-15T08:00:03+00:00"}))
    world.go(2000, timer)
    assert world.runs() == [fire_id("tick", START_MS + 3000)]
    again = world.timer("again")
    timer.leader.resign()
    world.work(again)
    world.go(2000, again)
    assert len(world.runs()) == 1


def test_a_date_that_passed_during_a_pause_does_not_run(world: Any, make: Any) -> None:
    timer = world.timer()
    timer.add(make(trigger="date", args={"run_date": "2027-01-15T08:00:03+00:00"}))
    timer.pause("tick")
    world.work(timer)
    world.go(5000, timer)
    timer.resume("tick")
    world.go(5000, timer)
    assert world.runs() == []
    assert world.missed() == [("tick", "paused", 1)]


@pytest.mark.parametrize(
    ("overlap", "made", "skipped"), [("allow", 3, 7), ("skip", 1, 9), ("queue_one", 2, 8), ("replace", 10, 0)], ids=str
)
def test_overlap_is_decided_with_the_fire_and_every_skip_is_told(world: Any, make: Any, overlap: str, made: int, skipped: int) -> None:
    world.save(make(overlap=overlap, max_instances=3))
    timer = world.timer()
    world.work(timer)
    world.go(10_000, timer)
    told = [json.loads(event.detail)["instant"] for event in world.events("skipped")]
    assert (len(world.runs()), len(told)) == (made, skipped)
    assert sorted([*told, *map(fire_instant, world.runs())]) == [START_MS + second * 1000 for second in range(1, 11)]
    cancelled = [event.subject for event in world.events("cancelled")]
    assert cancelled == (world.runs()[:-1] if overlap == "replace" else [])


def test_skip_fires_again_when_the_run_has_ended(world: Any, make: Any) -> None:
    world.save(make(overlap="skip"))
    timer = world.timer()
    world.work(timer)
    world.go(3000, timer)
    world.finish(world.runs()[0])
    world.go(1000, timer)
    assert world.runs() == [fire_id("tick", START_MS + 1000), fire_id("tick", START_MS + 4000)]


def test_a_schedule_whose_run_cannot_be_made_is_parked_and_loses_nothing(world: Any, make: Any) -> None:
    known = {"other_task"}

    def refuse(of: Any, instant_ms: int) -> Submission:
        if of.task not in known:
            raise LookupError(f"no task {of.task!r}")
        return world.wiring.submission(of, instant_ms)

    timer = world.timer(wiring=world.wiring.__class__(world.wiring.build, world.wiring.due, world.wiring.jitter, refuse))
    world.save(make(), make("other"))
    world.work(timer)
    world.go(3000, timer)
    assert timer.jobs.parked == {"tick": "LookupError: no task 'tick_task'"}
    assert world.runs() == world.expected(START_MS + 1000, START_MS + 3000, name="other")
    known.add("tick_task")
    timer.reload()
    world.work(timer)
    assert timer.jobs.parked == {}
    assert world.expected(START_MS + 1000, START_MS + 3000) == [run for run in world.runs() if run.startswith("tick@")]


def test_a_trigger_that_fails_parks_its_schedule_alone(world: Any, make: Any) -> None:
    class Odd:
        jitter_ms, max_runs = 0, None

        def next(self, after_ms: int) -> int:
            if after_ms >= START_MS + 2000:
                raise ArithmeticError("no more")
            return after_ms + 1000

    build = world.wiring.build
    wiring = world.wiring.__class__(
        lambda s: Odd() if s.trigger == "custom" else build(s), world.wiring.due, world.wiring.jitter, world.wiring.submission
    )
    timer = world.timer(wiring=wiring)
    world.save(make(), make("odd", "custom"))
    world.work(timer)
    world.go(5000, timer)
    assert timer.jobs.parked == {"odd": "ArithmeticError: no more"}
    assert [run for run in world.runs() if run.startswith("odd")] == [fire_id("odd", START_MS + 1000)]
    assert len([run for run in world.runs() if run.startswith("tick")]) == 3  # and two that overlapped
