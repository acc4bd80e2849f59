"""Triggers that are slow to fail: they delay nobody, and the leader goes on to lead. Time goes by while they think."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scheduler.timing import Wiring

START_MS = 1_800_000_000_000


class Thinking:
    """Every second; from ``until_ms`` on its answers take 0.7 s and then fail, for as long as ``well`` is empty."""

    jitter_ms, max_runs = 0, None

    def __init__(self, world: Any, until_ms: int, well: set[str]) -> None:
        self.world, self.until_ms, self.well = world, until_ms, well
        self.asked_ms: list[int] = []

    def next(self, after_ms: int) -> int:
        if after_ms >= self.until_ms and not self.well:
            self.asked_ms.append(self.world.now_ms)
            self.world.pass_ms(700)
            raise TimeoutError("it thinks for too long")
        return after_ms // 1000 * 1000 + 1000


class Thinkers:
    """The triggers of kind ``custom``, by their args."""

    def __init__(self, world: Any) -> None:
        self.world, self.well = world, set[str]()
        self.known: dict[str, Thinking] = {}

    def wiring(self) -> Wiring:
        return replace(self.world.wiring, build=self._build)

    def _build(self, schedule: Any) -> Any:
        if schedule.trigger != "custom":
            return self.world.wiring.build(schedule)
        key = json.dumps(schedule.args)
        return self.known.setdefault(key, Thinking(self.world, schedule.args["until_ms"], self.well))


@pytest.fixture
def thinkers(world: Any) -> Thinkers:
    return Thinkers(world)


@pytest.fixture
def forty(make: Any) -> Callable[[int], list[Any]]:
    """Forty of them, whose names come before ``tick``, and ``tick``; a program may have as many."""
    return lambda until_ms: [
        *(
            make(f"a{number:02}", "custom", {"class": "mine:A", "n": number, "until_ms": until_ms}, max_instances=99)
            for number in range(40)
        ),
        make(max_instances=10_000),
    ]


def late_ms(world: Any) -> int:
    """The most that a Run of ``tick`` came after its instant."""
    return max(event.ms - world.queue.get(event.subject).scheduled_ms for event in world.events("pending") if "tick@" in event.subject)


def test_forty_that_turn_slow_do_not_cost_the_leadership(world: Any, thinkers: Thinkers, forty: Any) -> None:
    world.save(*forty(START_MS + 3000))
    timer, other = world.timer("a", wiring=thinkers.wiring()), world.timer("b")
    world.work(timer)
    world.go(60_000, timer)
    world.work(other)
    assert timer.leader.epoch == 1
    assert len(timer.jobs.parked) == 40
    assert [run for run in world.runs() if run.startswith("tick@")] == world.expected(START_MS + 1000, world.now_ms)
    assert late_ms(world) < 3000


def test_forty_that_are_slow_when_they_are_loaded_keep_no_other_waiting(world: Any, thinkers: Thinkers, forty: Any) -> None:
    world.save(*forty(0))
    timer = world.timer(wiring=thinkers.wiring())
    timer.step()
    assert set(timer.jobs.jobs) == {"tick"}
    assert world.now_ms - START_MS < 2000
    world.go(60_000, timer)
    assert timer.leader.epoch == 1
    assert len(timer.jobs.parked) == 40
    assert late_ms(world) < 3000


def test_what_was_slow_to_fail_rests_longer_each_time(world: Any, make: Any, thinkers: Thinkers) -> None:
    """Changes of others and leaderships won do not wake it; when it is well again it goes on by itself."""
    world.save(
        make("slow", "custom", {"class": "mine:A", "until_ms": START_MS + 2000}, misfire="run_all", catch_up_max=999, max_instances=999)
    )
    timer = world.timer(wiring=thinkers.wiring())
    world.work(timer)
    for number in range(90):
        world.go(1000, timer)
        world.save(make(f"other{number}", args={"hours": 1}))
    (slow,) = thinkers.known.values()
    pauses = [later - earlier - 700 for earlier, later in zip(slow.asked_ms, slow.asked_ms[1:], strict=False)]
    assert [round(pause / 5000) for pause in pauses] == [1, 2, 4, 8]
    assert world.missed() == []
    thinkers.well.add("all")
    world.go(90_000, timer)
    assert timer.jobs.parked == {}
    assert world.runs() == world.expected(START_MS + 1000, world.now_ms, name="slow")


def test_a_new_definition_is_tried_at_once(world: Any, make: Any, thinkers: Thinkers) -> None:
    world.save(make("slow", "custom", {"class": "mine:A", "until_ms": 0}))
    timer = world.timer(wiring=thinkers.wiring())
    world.work(timer)
    world.go(60_000, timer)
    assert set(timer.jobs.parked) == {"slow"}
    world.save(make("slow"))
    world.go(1000, timer)
    assert timer.jobs.parked == {}
    assert "slow" in timer.jobs.jobs


def test_new_code_is_tried_at_once(world: Any, make: Any, thinkers: Thinkers) -> None:
    world.save(make("slow", "custom", {"class": "mine:A", "until_ms": 0}))
    timer = world.timer(wiring=thinkers.wiring())
    world.work(timer)
    thinkers.well.add("all")
    timer.reload()
    world.work(timer)
    assert set(timer.jobs.parked) == {"slow"}
    timer.reload(rebuild=True)
    world.work(timer)
    assert timer.jobs.parked == {}
