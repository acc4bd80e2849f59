"""Leaders that die, sleep, fight or misread; a store whose replies or clock go wrong: never two Runs, nothing silently lost."""

import gc
import logging
import tracemalloc
from itertools import pairwise
from typing import Any

import pytest

from scheduler.core.ids import fire_id

START_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
TEN_YEARS_MS = 10 * 365 * 86_400_000


def test_five_leaders_in_a_row_stop_for_three_leases(world: Any, make: Any) -> None:
    """Whoever leads sleeps for three leases of 2 s; another takes over within 2.5 s and catches up; the sleeper's word counts no more."""
    world.save(make(max_instances=1000))
    timers = [world.timer(name, lease_ms=2000) for name in "abc"]
    world.work(*timers)
    for _ in range(5):
        world.go(3000, *timers)
        sleeper = next(timer for timer in timers if timer.leader.epoch)
        awake = [timer for timer in timers if timer is not sleeper]
        stale_epoch = sleeper.leader.epoch
        waited_ms = 0
        while not any(timer.leader.epoch for timer in awake):
            world.go(100, *awake, tick_ms=100)
            waited_ms += 100
        assert waited_ms <= 2500
        assert world.book.fire(stale_epoch, [_fire(world, make, world.now_ms)]) == ["stale"]
        world.go(6000 - waited_ms, *awake)
        sleeper.step()
        assert sleeper.leader.epoch == 0
    world.go(1000, *timers)
    assert world.runs() == world.expected(START_MS + 1000, world.now_ms)
    assert world.missed() == []


def _fire(world: Any, make: Any, instant_ms: int) -> Any:
    from scheduler.core.run import Fire

    return Fire("tick", instant_ms, 0, 0, world.wiring.submission(make(), instant_ms), "allow", 1000)


def test_a_leader_that_slept_in_the_middle_of_a_step_is_refused(world: Any, make: Any) -> None:
    """It has decided what to fire, and sleeps just before it says so."""
    world.save(make(max_instances=1000))
    other = world.timer("b")

    class Sleepy:
        def __init__(self, book: Any) -> None:
            self.book, self.asleep, self.answers = book, False, []

        def __getattr__(self, name: str) -> Any:
            return getattr(self.book, name)

        def fire(self, epoch: int, fires: Any) -> list[str]:
            if self.asleep:
                self.asleep = False
                world.go(20_000, other)
            self.answers.append(self.book.fire(epoch, fires))
            return self.answers[-1]

    store = Sleepy(world.book)
    sleeper = world.timer("a", store=store)
    world.work(sleeper, other)
    world.go(2000, sleeper, other)
    store.asleep = True
    world.pass_ms(1000)
    sleeper.step()
    assert store.answers[-1] == ["stale"]
    assert sleeper.leader.epoch == 0
    world.go(3000, sleeper, other)
    assert world.runs() == world.expected(START_MS + 1000, START_MS + 26_000)


def test_two_leaders_by_force(world: Any, make: Any) -> None:
    """The lock is deleted every half second for a minute, under twenty fires a second."""
    world.save(*(make(f"s{number:02}", max_instances=10_000) for number in range(20)))
    timers = [world.timer(name) for name in "ab"]
    world.work(*timers)
    for _ in range(120):
        world.go(500, *timers)
        world.client.delete(f"{world.queue.prefix}lead")
        timers.reverse()
    world.go(8000, *timers)
    expected = [run for number in range(20) for run in world.expected(START_MS + 1000, START_MS + 68_000, name=f"s{number:02}")]
    assert sorted(world.runs()) == sorted(expected)
    assert world.missed() == []


def test_a_lost_reply_of_a_fire_is_repeated_without_harm(world: Any, make: Any) -> None:
    store = world.bad_line()
    world.save(make(max_instances=1000), make("other", max_instances=1000))
    timer = world.timer(store=store)
    world.work(timer)
    for _ in range(20):
        store.methods = {"fire"}
        world.pass_ms(1000)
        assert timer.step() == 0.25
        store.methods = set()
        world.work(timer)
    assert store.lost == 20
    assert sorted(world.runs()) == sorted(
        world.expected(START_MS + 1000, START_MS + 20_000) + world.expected(START_MS + 1000, START_MS + 20_000, name="other")
    )
    assert world.missed() == []


def test_a_catch_up_whose_reply_was_lost_tells_of_the_missed_once(world: Any, make: Any) -> None:
    store = world.bad_line()
    world.save(make())
    world.pass_ms(HOUR_MS)
    timer = world.timer(store=store)
    store.methods = {"fire"}
    world.work(timer)
    world.pass_ms(3000)
    world.work(timer)
    store.methods = set()
    world.pass_ms(500)
    world.work(timer)
    assert world.missed() == [("tick", "misfired", 3599)]
    assert world.runs() == world.expected(START_MS + HOUR_MS, START_MS + HOUR_MS + 3000)[:3]


@pytest.mark.parametrize("method", ["elect", "now_ms", "generation", "load_schedules", "paused_schedules"])
def test_any_other_lost_reply_costs_nothing_but_time(world: Any, make: Any, method: str, caplog: pytest.LogCaptureFixture) -> None:
    store = world.bad_line()
    timer = world.timer(store=store)
    store.methods = {method}
    world.work(timer)
    world.save(make(max_instances=1000))
    world.go(4000, timer)
    assert store.lost > 3
    store.methods = set()
    world.go(4000, timer)
    assert world.runs() == world.expected(START_MS + 1000, START_MS + 8000)
    if method != "elect":
        assert [record.getMessage().partition(":")[0] for record in caplog.records if record.name == "scheduler.timing.timer"] == [
            "the timer cannot work and tries again"
        ]


def test_trouble_that_outlasts_a_lease_is_decided_on_anew(world: Any, make: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The store refuses fires (its memory is full) but renews the lease: an hour later the policy of the schedule decides."""
    store = world.bad_line()
    world.save(make(misfire="skip", misfire_grace_ms=10_000, max_instances=1000))
    timer = world.timer(store=store)
    world.work(timer)
    real, store._book.fire = store._book.fire, _refuse
    world.go(HOUR_MS, timer, tick_ms=1000)
    assert timer.leader.epoch == 1
    store._book.fire = real
    with caplog.at_level(logging.INFO):
        world.go(10_000, timer)
    assert "the timer works again" in caplog.text
    newest = START_MS + HOUR_MS + 10_000
    runs, late = world.runs(), sum(count for _, _, count in world.missed())
    assert runs == world.expected(newest - (len(runs) - 1) * 1000, newest)
    assert 10 <= len(runs) <= 40
    assert len(runs) + late == HOUR_MS // 1000 + 10


def _refuse(*_: Any) -> Any:
    raise RuntimeError("OOM command not allowed when used memory > 'maxmemory'")


def test_the_stores_clock_goes_back_a_minute(world: Any, make: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What has fired does not fire again; what is new fires within two seconds."""
    world.save(make(max_instances=10_000))
    timer = world.timer()
    world.work(timer)
    world.go(90_000, timer)
    world.step_clock(-60_000)
    world.go(2000, timer)
    assert "the store's clock has stepped by -60000 ms" in caplog.text
    world.save(make("fresh", max_instances=10_000))
    before = world.now_ms
    world.go(10_000, timer)
    assert [run for run in world.runs() if "fresh" in run] == world.expected(before + 1000, before + 10_000, name="fresh")
    assert len([run for run in world.runs() if "tick" in run]) == 90
    world.go(50_000, timer)
    assert [run for run in world.runs() if "tick" in run] == world.expected(START_MS + 1000, world.now_ms)


def test_the_stores_clock_goes_back_before_a_schedule_was_known(world: Any, make: Any) -> None:
    world.save(make(max_instances=10_000))
    timer = world.timer()
    world.work(timer)
    world.step_clock(-HOUR_MS)
    world.go(10_000, timer)
    silent_until = START_MS - HOUR_MS + 2000
    assert set(world.expected(silent_until + 1000, START_MS - HOUR_MS + 10_000)) <= set(world.runs())
    assert len(world.runs()) == len(set(world.runs()))
    timer.leader.resign()
    world.pass_ms(10_000)
    heir = world.timer("heir")
    world.work(heir)
    assert set(world.expected(silent_until + 1000, world.now_ms)) <= set(world.runs())


@pytest.mark.parametrize("trigger", [("interval", {"seconds": 1}), ("cron", {"expression": "* * * * * *"})], ids=["interval", "cron"])
def test_the_stores_clock_jumps_ten_years_and_back(world: Any, make: Any, trigger: Any) -> None:
    world.save(make("tick", *trigger, max_instances=10_000))
    timer = world.timer()
    world.work(timer)
    world.go(5000, timer)
    world.step_clock(TEN_YEARS_MS)
    tracemalloc.start()
    world.go(1000, timer, tick_ms=1000)
    gc.collect()
    assert tracemalloc.get_traced_memory()[0] < 1_000_000
    tracemalloc.stop()
    assert len(world.runs()) == 6
    assert [reason for _, reason, _ in world.missed()] == ["misfired"]
    world.step_clock(-TEN_YEARS_MS)
    world.go(4000, timer)
    assert set(world.expected(START_MS + 1000, START_MS + 10_000)) <= set(world.runs())
    assert len(world.runs()) == len(set(world.runs()))


@pytest.mark.parametrize("step_ms", [-HOUR_MS, -60_000, -1500, 1500, 60_000, HOUR_MS])
def test_steps_of_the_stores_clock_never_fire_twice(world: Any, make: Any, step_ms: int) -> None:
    world.save(make(max_instances=10_000), make("minutely", args={"minutes": 1}, max_instances=10_000))
    timer = world.timer()
    world.work(timer)
    for _ in range(4):
        world.go(5000, timer)
        world.step_clock(step_ms)
    world.go(5000, timer)
    assert len(world.runs()) == len(set(world.runs()))


def test_a_machine_whose_own_clock_is_wrong_fires_all_the_same(world: Any, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """APScheduler reads this machine's wall clock; what it says must not matter."""
    import apscheduler.schedulers.base as library

    class Wrong(library.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return library.datetime.fromtimestamp(0, tz)

    world.save(make(max_instances=1000))
    timer = world.timer()
    monkeypatch.setattr(library, "datetime", Wrong)
    world.work(timer)
    world.go(3000, timer)
    assert world.runs() == world.expected(START_MS + 1000, START_MS + 3000)


def test_the_store_is_emptied_under_us(world: Any, make: Any, caplog: pytest.LogCaptureFixture) -> None:
    timer = world.timer()
    timer.sync_yaml([make(max_instances=1000)])
    world.work(timer)
    world.go(3000, timer)
    world.client.flushall()
    world.go(5000, timer)
    assert "the store has lost schedules" in caplog.text
    assert list(world.book.load_schedules()) == ["tick"]
    assert timer.leader.epoch
    assert world.runs() == world.expected(START_MS + 5000, world.now_ms)


def test_500_minutely_schedules_after_six_hours(world: Any, make: Any) -> None:
    """One Run each, spread over ten seconds; 359 told as missed by each."""
    world.save(*(make(f"s{number:03}", args={"minutes": 1}) for number in range(500)))
    timer = world.timer()
    world.work(timer)
    timer.leader.resign()
    world.pass_ms(6 * HOUR_MS)
    again = world.timer("again")
    world.work(again)
    newest = START_MS + 6 * HOUR_MS
    assert world.runs() == [fire_id(f"s{number:03}", newest) for number in range(500)]
    assert world.missed() == [(f"s{number:03}", "misfired", 359) for number in range(500)]
    delays = [world.queue.get(run).due_ms - newest if number else 0 for number, run in enumerate(world.runs())]
    assert delays == sorted(delays)
    assert (delays[0], delays[-1]) == (0, 10_000)
    assert max(later - earlier for earlier, later in pairwise(delays)) <= 21
    world.go(60_000, again, tick_ms=1000)
    assert len(world.runs()) == 1000
    assert world.queue.get(fire_id("s499", newest + 60_000)).due_ms == 0


def test_twenty_late_schedules_are_no_storm(world: Any, make: Any) -> None:
    world.save(*(make(f"s{number:02}", args={"minutes": 1}) for number in range(20)))
    world.pass_ms(HOUR_MS)
    world.work(world.timer())
    assert {event.type for event in world.events() if event.subject in world.runs()} == {"pending"}


def test_ten_thousand_instants_two_leaders_and_a_hand_over_each_second(world: Any, make: Any) -> None:
    world.save(*(make(f"s{number:03}", max_instances=10_000) for number in range(200)))
    timers = [world.timer(name) for name in "ab"]
    for second in range(50):
        world.go(1000, *timers, tick_ms=500)
        timers[second % 2].leader.resign()
    world.go(2000, *timers)
    assert len(world.runs()) == len(set(world.runs())) == 200 * 52


def test_an_instance_that_starts_after_a_crash_goes_on_from_the_last_fire(world: Any, make: Any) -> None:
    world.save(make(misfire="run_all", max_instances=1000), make("hourly", args={"hours": 1}))
    timer = world.timer()
    world.work(timer)
    world.go(3000, timer)
    world.pass_ms(95_000)
    heir = world.timer("heir")
    world.work(heir)
    assert world.runs() == world.expected(START_MS + 1000, START_MS + 98_000)
    assert world.missed() == []


def test_a_clock_that_is_ahead_of_the_servers_waits(world: Any, make: Any) -> None:
    """The server's clock goes back between two looks at it: the fire is refused as a future one and comes in its time."""
    world.save(make("hourly", args={"hours": 1}))
    timer = world.timer()
    world.work(timer)
    world.go(HOUR_MS - 400, timer, tick_ms=400)
    world.step_clock(-3000)
    world.pass_ms(400)
    world.work(timer)
    assert world.runs() == []
    world.go(4000, timer)
    assert world.runs() == [fire_id("hourly", START_MS + HOUR_MS)]


def test_an_heir_counts_only_what_fell_into_the_gap(world: Any, make: Any) -> None:
    world.save(make(misfire_grace_ms=1000, max_instances=1000))
    dead, heir = world.timer("dead"), world.timer("heir")
    world.work(dead, heir)
    world.go(60_000, dead, heir)
    world.go(10_000, heir, tick_ms=500)
    runs, told = len(world.runs()), [count for _, _, count in world.missed()]
    assert len(told) == 1
    assert 4 <= told[0] <= 6
    assert runs + told[0] == 70


def test_a_date_in_the_past_is_recorded_even_when_the_store_refused_at_first(world: Any, make: Any) -> None:
    world.save(make(trigger="date", args={"run_date": "2020-01-01T00:00:00+00:00"}))
    store = world.bad_line()
    timer = world.timer(store=store)
    real, store._book.fire = store._book.fire, _refuse
    world.work(timer)
    world.go(20_000, timer, tick_ms=1000)
    assert world.missed() == []
    store._book.fire = real
    world.go(1000, timer)
    assert world.missed() == [("tick", "passed", 1)]


def test_a_batch_that_waits_is_dropped_when_another_has_come_to_lead(world: Any, make: Any) -> None:
    world.save(make(max_instances=1000))
    store = world.bad_line()
    timer, other = world.timer("a", store=store), world.timer("b")
    world.work(timer, other)
    real, store._book.fire = store._book.fire, _refuse
    world.pass_ms(1000)
    timer.step()
    store._book.fire = real
    world.client.delete(f"{world.queue.prefix}lead")
    world.work(other)
    timer.step()
    assert (timer.leader.epoch, other.leader.epoch) == (0, 2)
    world.go(3000, timer, other)
    assert world.runs() == world.expected(START_MS + 1000, START_MS + 4000)


def test_a_leadership_lost_and_won_within_one_batch_begins_anew(world: Any, make: Any) -> None:
    """The first of two calls takes so long that the lease must be renewed before the second; the lock was gone meanwhile."""
    world.save(*(make(f"s{number:03}", args={"minutes": 1}) for number in range(300)))

    class Slow:
        def __init__(self, book: Any) -> None:
            self.book, self.calls = book, []

        def __getattr__(self, name: str) -> Any:
            return getattr(self.book, name)

        def fire(self, epoch: int, fires: Any) -> list[str]:
            answers = self.book.fire(epoch, fires)
            if not self.calls:
                world.client.delete(f"{world.queue.prefix}lead")
                world.pass_ms(2100)
            self.calls.append((epoch, len(fires), set(answers)))
            return answers

    store = Slow(world.book)
    timer = world.timer(store=store)
    world.work(timer)
    world.go(60_000, timer, tick_ms=2000)
    world.work(timer)
    assert store.calls == [(1, 200, {"ok"}), (2, 100, {"ok"})]
    assert world.runs() == [fire_id(f"s{number:03}", START_MS + 60_000) for number in range(300)]
