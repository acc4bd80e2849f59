"""Any order of steps, lost replies, stolen locks and clock moves: at most one Run an instant, and no instant without a word."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.core.ids import fire_instant

START_MS = 1_800_000_000_000
POLICIES: dict[str, dict[str, Any]] = {
    "each": {"args": {"seconds": 1}, "misfire_grace_ms": 5000},
    "newest": {"args": {"seconds": 2}, "misfire_grace_ms": 4000, "coalesce": True},
    "all": {"args": {"seconds": 3}, "misfire": "run_all", "misfire_grace_ms": 2000, "catch_up_max": 3},
    "fresh": {"args": {"seconds": 1.5}, "misfire": "skip", "misfire_grace_ms": 3000},
    "cron": {"trigger": "cron", "args": {"expression": "*/5 * * * * *"}, "misfire_grace_ms": 6000},
}
STEP_MS = {"each": 1000, "newest": 2000, "all": 3000, "fresh": 1500, "cron": 5000}

who = st.integers(0, 1)
moves = st.one_of(
    st.tuples(st.just("step"), who),
    st.tuples(st.just("step"), who),
    st.tuples(st.just("pass"), st.integers(50, 4000)),
    st.tuples(st.just("pass"), st.integers(50, 900)),
    st.tuples(st.just("sleep"), st.integers(4000, 40_000)),
    st.tuples(st.just("lose"), who, st.sets(st.sampled_from(["fire", "elect", "now_ms", "generation", "load_schedules"]))),
    st.tuples(st.just("steal"), st.none()),
    st.tuples(st.just("resign"), who),
    st.tuples(st.just("reload"), who),
)
clock_steps = st.tuples(st.just("clock"), st.integers(-30_000, 60_000))


class Story:
    """Two timers in a world of their own, and what is done to them."""

    def __init__(self, world: Any, make: Any) -> None:
        world.client.flushall()
        world.__init__(world.client)  # type: ignore[misc]  # the same fixture serves many examples
        self.world = world
        world.save(*(make(name, **{"max_instances": 10**6, **policy}) for name, policy in POLICIES.items()))
        self.lines = [world.bad_line(), world.bad_line()]
        self.timers = [world.timer(name, store=line, lease_ms=3000) for name, line in zip("ab", self.lines, strict=True)]

    def do(self, verb: str, *about: Any) -> None:
        getattr(self, verb)(*about)

    def step(self, number: int) -> None:
        self.timers[number].step()

    def clock(self, ms: int) -> None:
        self.world.step_clock(ms)

    def sleep(self, ms: int) -> None:
        self.world.pass_ms(ms)

    def lose(self, number: int, methods: set[str]) -> None:
        self.lines[number].methods = methods

    def steal(self, _: None) -> None:
        self.world.client.delete(f"{self.world.queue.prefix}lead")

    def resign(self, number: int) -> None:
        self.timers[number].leader.resign()

    def reload(self, number: int) -> None:
        self.timers[number].reload()

    def settle(self) -> None:
        """The faults end, and time goes on for two leases."""
        for line in self.lines:
            line.methods = set()
        self.world.go(6000, *self.timers, tick_ms=500)

    def accounted(self, name: str) -> tuple[list[int], list[int]]:
        """The instants that got a Run, and those told of as missed."""
        runs = [fire_instant(run) or 0 for run in self.world.runs() if run.startswith(f"{name}@")]
        told = []
        for event in self.world.events("missed"):
            if event.subject == name:
                detail = json.loads(event.detail)
                last = detail["until"] - (STEP_MS[name] if detail["until"] in runs else 0)
                told += [last - index * STEP_MS[name] for index in range(detail["count"])]
        return runs, told


setattr(Story, "pass", Story.sleep)


def due(name: str, first_ms: int, last_ms: int) -> set[int]:
    step = STEP_MS[name]
    return set(range(first_ms - first_ms % step + step, last_ms + 1, step))


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=st.lists(moves, max_size=60))
def test_every_instant_runs_once_or_is_told_of_once(world: Any, make: Any, story: list[tuple[Any, ...]]) -> None:
    told = Story(world, make)
    for move in story:
        told.do(*move)
    told.settle()
    for name in POLICIES:
        runs, missed = told.accounted(name)
        assert sorted(runs + missed) == sorted(due(name, START_MS, world.now_ms)), name
        assert runs == sorted(runs)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.lists(moves, max_size=20), min_size=2, max_size=4), jumps=st.lists(clock_steps, min_size=3, max_size=3))
def test_with_a_stepping_clock_no_instant_runs_twice_and_none_is_forgotten(world: Any, make: Any, parts: Any, jumps: Any) -> None:
    told = Story(world, make)
    for part, jump in zip(parts, [*jumps, None], strict=False):
        for move in part:
            told.do(*move)
        if jump:
            told.do(*jump)
    told.settle()
    for name in POLICIES:
        runs, missed = told.accounted(name)
        assert len(runs) == len(set(runs)), name
        assert due(name, START_MS, world.now_ms) - set(runs) - set(missed) == set(), name


def test_the_story_itself_sees_a_forgotten_instant(world: Any, make: Any) -> None:
    told = Story(world, make)
    told.settle()
    world.client.hset(f"{world.queue.prefix}fired", "each", f"0;0;{START_MS}-{world.now_ms + 3000}")
    told.resign(0)
    told.resign(1)
    told.settle()
    runs, missed = told.accounted("each")
    assert due("each", START_MS, world.now_ms) - set(runs) - set(missed) != set()
