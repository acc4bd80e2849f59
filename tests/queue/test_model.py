"""All verbs of the queue in random order, with replays, against the model: after every step the whole state is the same."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from scheduler.core.ports import Enrolment, Free
from scheduler.core.run import Fire, Settlement, Submission
from scheduler.core.states import TERMINAL, State
from scheduler.core.task import RateLimit, Schedule, Task
from scheduler.queue import AddedTasks, ScheduleBook
from scheduler.queue.keys import kind_of
from tests.queue.model import LEASE_MS, MINUTE, NOW, Known, Model

QUEUES = ("default", "q1", "q2")
WORKERS = ("w1", "w2", "w3", "w4", "w5", "w6")
KINDS = ("a", "l", "k", "p", "r", "u")  # plain, limited, limited by key, in a process, rate-limited, known to few
POLICIES = {
    "l": {"max_instances": 2},
    "k": {"max_instances": 1},
    "p": {"executor": "processpool"},
    "r": {"rate_limits": (RateLimit(3, MINUTE), RateLimit(4, 2 * MINUTE))},
}
OTHER_POLICIES = {
    "l": {"max_instances": 1},
    "k": {},
    "p": {"max_instances": 1, "executor": "asyncio"},
    "r": {"rate_limits": (RateLimit(1, MINUTE),), "max_instances": 2},
    "a": {"rate_limits": (RateLimit(6, MINUTE),)},
}
STATES = (State.SUCCEEDED, State.FAILED, State.DEAD, State.CANCELLED, State.DELAYED, State.PENDING, State.PENDING)
MILLIS = (0, 1, 7, 999, 1000, 5000, 12_000, 20_000, MINUTE)
NAMES = {"task": KINDS, "queue": QUEUES, "schedule": ("s1", "s2")}
WEIGHTS = {  # how often each verb is drawn
    "submit": 8,
    "work": 7,
    "turn": 4,
    "time_goes_by": 4,
    "sweep": 4,
    "replay": 4,
    "decide": 4,
    "during_a_run": 3,
    "fire": 4,
    "redefine": 2,
    "rescue": 2,
    "beat": 2,
    "pause": 2,
    "settle_strangely": 2,
    "wake_up": 2,
    "enroll": 2,
    "abandon": 1,
    "order": 1,
    "purge": 1,
    "retain": 1,
    "elect": 1,
    "plan": 1,
    "the_clock_steps_back": 1,
}
Draw = Callable[[Any], Any]  # from a sequence of choices, or from a strategy


def schedule_of(name: str, args: dict[str, Any]) -> Schedule:
    return Schedule(name=name, task="a", trigger="interval", args=args)


class Machine(RuleBasedStateMachine):
    """Does each step to the queue and to the model, and compares answers, events and the whole state."""

    def __init__(self, lab: Any) -> None:
        super().__init__()
        lab.client.flushdb()
        lab.queue.functions.now = NOW
        lab.reader.position = "0-0"
        self.lab, self.queue, self.model = lab, lab.queue, Model()
        self.book = ScheduleBook(lab.queue)
        self.told = 0
        self.made = 0
        self.again: Callable[[], None] = lambda: None
        self.starts: dict[str, int] = {}
        self.ends: dict[str, int] = {}
        for task, facts in POLICIES.items():
            self.define(task, facts)
        self.introduce(Enrolment("w1", "host", 1, 4, ["*"], KINDS[:-1]))
        self.introduce(Enrolment("w2", "host", 1, 4, ["default", "q1"], "alk"))
        self.step(lambda: self.book.elect("i1", 5000).epoch, lambda: self.model.elect("i1"))
        self.save(schedule_of("s1", {"seconds": 1}))

    @rule(verb=st.sampled_from([verb for verb, weight in WEIGHTS.items() for _ in range(weight)]), data=st.data())
    def do(self, verb: str, data: st.DataObject) -> None:
        getattr(self, verb)(lambda choices: data.draw(choices if isinstance(choices, st.SearchStrategy) else st.sampled_from(choices)))

    def step(self, real: Callable[[], Any], expected: Callable[[], Any], *, idempotent: bool = True) -> None:
        """Both, now; and once more when a replay is drawn: at the same instant that changes nothing."""
        now = self.model.now

        def both() -> None:
            answer, wanted = real(), expected()
            assert answer == wanted, f"the queue answers {answer}, the model {wanted}"

        def again() -> None:
            before = self.look()
            both()
            if idempotent and now == self.model.now:
                assert self.look() == before

        self.again = again
        both()

    def look(self) -> dict[str, Any]:
        """Every key but the stream, in few round trips."""
        client, prefix = self.lab.client, self.queue.prefix
        names = [key.removeprefix(prefix) for key in client.scan_iter(f"{prefix}*", count=10_000)]
        names = [name for name in names if name != "ev"]
        pipe = client.pipeline(transaction=False)
        for name in names:
            READ[kind_of(name)](pipe, prefix + name)
        return {name: _plain(name, value) for name, value in zip(names, pipe.execute(), strict=True)}

    def some_run(self, draw: Draw) -> str:
        return str(draw([*sorted(self.model.runs)[-12:], "ghost"]))

    # ── Runs ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def submit(self, draw: Draw) -> None:
        submissions = [self.draw_submission(draw) for _ in range(draw(st.integers(1, 5)))]
        self.step(lambda: self.queue.submit(submissions), lambda: self.model.submit(submissions))
        self.again = lambda: self.submit_again(submissions)

    def submit_again(self, submissions: list[Submission]) -> None:
        before = self.look()
        answers = self.queue.submit(submissions)
        assert answers == self.model.submit(submissions)
        if not {s.id for s in submissions} - set(self.model.runs) - {s.id for s in submissions if s.idempotency}:
            assert self.look() == before

    def draw_submission(self, draw: Draw) -> Submission:
        self.made += 1
        known = sorted(self.model.runs)[-2:]
        run = draw([f"r{draw('cba')}{self.made:04}"] * 8 + known)
        task = draw("aallkkpprru")
        return Submission(
            id=run,
            task=task,
            queue=draw(QUEUES),
            priority=draw((5, 5, 5, 1, 9, 10)),
            params=draw(("", '{"x":1}')),
            delay_ms=draw((0, 0, 0, 0, 1000)),
            due_ms=draw((0, 0, 0, 0, NOW + 3000)),
            key=draw(("x", "y y")) if task == "k" else "",
            idempotency=draw(("",) * 9 + ("i1 b1", "i1 b2", "i2 b1")),
        )

    def decide(self, draw: Draw) -> None:
        verb = draw(("cancel", "cancel", "retry", "retry", "dead"))
        running = sorted(run.id for run in self.model.runs.values() if run.state == "running")
        run = draw(running) if running and verb == "cancel" and draw((True, False)) else self.some_run(draw)
        if verb == "cancel":
            self.step(lambda: self.queue.cancel(run, "enough"), lambda: self.model.cancel(run, "enough"))
        elif verb == "retry":
            self.step(lambda: self.queue.retry(run), lambda: self.model.retry(run))
        else:
            self.step(lambda: self.queue.purge("dead", run), lambda: self.model.purge("dead", run), idempotent=False)

    def during_a_run(self, draw: Draw) -> None:
        ids = sorted(run.id for run in self.model.runs.values() if run.state == "running")
        run = self.model.runs.get(draw(ids)) if ids else self.model.runs.get(self.some_run(draw))
        if run is None:
            return
        what, capacity = draw(("report", "reserve", "reserve", "release", "log")), {"A": 100, "B": 100}
        percent, need, count = draw(range(3)), draw((30, 60)), draw((1, 2))
        if what == "report":
            self.step(
                lambda: self.queue.report(run.id, run.token, percent, "m"), lambda: self.model.report(run.id, run.token, percent, "m")
            )
        elif what == "reserve":
            wanted = (run.id, capacity, need, count)
            self.step(lambda: self.queue.reserve_gpu(*wanted), lambda: self.model.reserve_gpu(*wanted))
        elif what == "release":
            self.step(lambda: self.queue.release_gpu(run.id), lambda: self.model.release_gpu(run.id))
        else:
            text = json.dumps([percent, "tail"])
            self.step(lambda: self.queue.save_log(run.id, "tail", percent), lambda: setattr(run, "log", text))

    # ── Workers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def enroll(self, draw: Draw) -> None:
        known = sorted(draw(st.sets(st.sampled_from(KINDS), min_size=1)))
        self.introduce(Enrolment(draw(WORKERS), "host", 1, 4, draw((["*"], ["*"], ["default"], ["q1", "q2"])), known))

    def introduce(self, member: Enrolment) -> None:
        self.step(lambda: self.queue.enroll(member, LEASE_MS), lambda: self.model.enroll(member))

    def beat(self, draw: Draw) -> None:
        names = draw((list(WORKERS), ["w1"], ["w2", "w3"]))
        self.step(lambda: self.queue.beat(names, LEASE_MS), lambda: self.model.beat(names))

    def abandon(self, draw: Draw) -> None:
        worker = draw(WORKERS)
        self.step(lambda: self.queue.abandon(worker), lambda: self.model.abandon(worker))

    def rescue(self, draw: Draw) -> None:
        """A round of the rescuer: what a fenced worker holds is decided; when it holds nothing it is forgotten."""
        worker, state = draw([*self.model.fenced] or WORKERS), draw((State.PENDING, State.PENDING, State.DELAYED, State.DEAD))
        orphans = sorted(self.queue.orphans(worker), key=lambda orphan: orphan.claim.id)
        wanted = sorted(self.model.orphans(worker), key=lambda orphan: orphan[0].id)
        assert [(orphan.claim, orphan.started_ms) for orphan in orphans] == wanted
        settlements = [Settlement(o.claim.id, o.claim.token, state, "lost", 1000, burn=False, strike="loss") for o in orphans]
        if settlements:
            self.settle(settlements)
            self.step(lambda: self.queue.orphans(worker), lambda: self.model.orphans(worker))

    def settle(self, settlements: list[Settlement]) -> None:
        """In nobody's name: no nonce tells a replay, so the tokens must."""
        assert self.queue.settle(settlements) == self.model.turn("", "", Free(), settlements)[1]
        self.again = lambda: self.settle_again(settlements)

    def settle_again(self, settlements: list[Settlement]) -> None:
        before = self.look()
        answers = self.queue.settle(settlements)
        assert answers == self.model.turn("", "", Free(), settlements)[1]
        assert "ok" not in answers
        assert self.look() == before

    def turn(self, draw: Draw) -> None:
        worker = draw(WORKERS[:4])
        settlements = [self.draw_settlement(draw, run) for run in self.model.held(worker) if draw(st.booleans())]
        self.take_turn(worker, Free(draw(range(5)), draw(range(3)), draw(range(2))), settlements)

    def work(self, draw: Draw) -> None:
        """A living worker settles all it holds, and takes more."""
        if not self.model.leases:
            return self.enroll(draw)
        worker = draw(sorted(self.model.leases))
        return self.take_turn(worker, Free(4, 2, 1), [self.draw_settlement(draw, run) for run in self.model.held(worker)])

    def settle_strangely(self, draw: Draw) -> None:
        """Old tokens, Runs of others, Runs that are gone or over."""
        run = self.some_run(draw)
        token = max(0, (self.model.runs[run].token if run in self.model.runs else 1) - draw((0, 1)))
        self.take_turn(draw(WORKERS), Free(1), [Settlement(run, token, State.SUCCEEDED), Settlement("ghost", 1, State.FAILED)])

    def take_turn(self, worker: str, free: Free, settlements: list[Settlement]) -> None:
        self.made += 1
        words = (worker, f"n{self.made}", free, settlements)
        self.step(lambda: self.queue.turn(*words), lambda: self.model.turn(*words))

    def draw_settlement(self, draw: Draw, run: Known) -> Settlement:
        state = draw(STATES)
        return Settlement(
            run.id,
            run.token,
            state,
            draw(("", "error", "gpu busy")),
            delay_ms=draw(MILLIS),
            burn=draw((True, False)),
            strike=draw(("", "", "loss", "crash")),
            result=draw(("", "[1]")),
            error=draw(("", '{"type":"E"}')),
            close_lane_ms=draw((0, 0, 500, 2 * MINUTE)) if state == State.PENDING else 0,
        )

    def wake_up(self, draw: Draw) -> None:
        worker = draw(WORKERS[:4])
        self.step(lambda: self.lab.client.lpop(self.queue.wake_key(worker)), lambda: self.pop(worker), idempotent=False)

    def pop(self, worker: str) -> str | None:
        calls = self.model.wakes.get(worker, [])
        return calls.pop(0) if calls else None

    # ── Time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def time_goes_by(self, draw: Draw) -> None:
        """Mostly the workers that live beat on."""
        self.model.now = self.lab.queue.functions.now = self.model.now + draw(MILLIS)
        living = sorted(self.model.leases)
        if draw((True, True, True, False)):
            self.step(lambda: self.queue.beat(living, LEASE_MS), lambda: self.model.beat(living))

    def the_clock_steps_back(self, draw: Draw) -> None:
        self.model.now = self.lab.queue.functions.now = max(NOW, self.model.now - draw((1, 3000, 3_600_000)))

    def sweep(self, draw: Draw) -> None:
        late_ms, lease = draw((None, 0, 0, 0, -900, 5000)), {"longest_lease_ms": LEASE_MS}
        expected = None if late_ms is None else self.model.now + late_ms
        self.step(lambda: self.queue.sweep(expected_ms=expected, **lease), lambda: self.model.sweep(expected), idempotent=False)

    def replay(self, _: Draw) -> None:
        """The reply of the last call was lost: it is made again, exactly."""
        self.again()

    # ── People ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def redefine(self, draw: Draw) -> None:
        task = draw((*KINDS, "s1"))
        self.define(task, draw((POLICIES, OTHER_POLICIES)).get(task, {}), added=draw((True, False)))

    def define(self, name: str, facts: dict[str, Any], *, added: bool = False) -> None:
        task = Task(name=name, target="m:f", **facts)
        self.step(lambda: self.queue.define([task], added=added), lambda: self.model.define(task, added=added))
        self.step(lambda: sorted(AddedTasks(self.queue).all()), lambda: sorted(self.model.added))

    def pause(self, draw: Draw) -> None:
        kind, on = draw(("task", "task", "queue", "schedule")), draw((True, False, False))
        name = draw([word.partition("/")[2] for word in sorted(self.model.paused) if word.startswith(kind) and not on] or NAMES[kind])
        real, words = self.queue.pause, (kind, name)
        self.step(lambda: real(*words, on=on), lambda: self.model.pause(*words, on=on), idempotent=False)

    def order(self, draw: Draw) -> None:
        queue, order = draw(QUEUES), draw(("fifo", "lifo"))
        self.step(lambda: self.queue.order(queue, order), lambda: self.model.orders.__setitem__(queue, order))

    def purge(self, draw: Draw) -> None:
        what = draw((("queue", "q1"), ("queue", "q2"), ("dead", "")))
        self.step(lambda: self.queue.purge(*what), lambda: self.model.purge(*what), idempotent=False)

    def retain(self, draw: Draw) -> None:
        keep, keep_ms = draw((3, 100)), draw((MINUTE, 10 * MINUTE))
        real, words = self.queue.retain, {"keep": keep, "keep_ms": keep_ms}
        self.step(lambda: real(**words, events=10**6), lambda: self.model.retain(**words), idempotent=False)

    # ── Schedules ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def elect(self, draw: Draw) -> None:
        instance = draw(("i1", "i1", "i2"))
        self.step(lambda: self.book.elect(instance, 5000).epoch, lambda: self.model.elect(instance))
        if draw((True, False, False)):
            self.step(lambda: self.book.resign(instance), lambda: self.model.resign(instance))

    def plan(self, draw: Draw) -> None:
        name = draw(("s1", "s2"))
        if draw((True, False, False)):
            self.step(lambda: self.book.remove_schedules([name]), lambda: self.model.remove_schedule(name), idempotent=False)
        else:
            self.save(schedule_of(name, {"seconds": draw((1, 1, 2))}))

    def save(self, schedule: Schedule) -> None:
        self.step(lambda: self.book.save_schedules([schedule]), lambda: self.model.add_schedule(schedule), idempotent=False)

    def fire(self, draw: Draw) -> None:
        epoch, now = max(0, self.model.epoch - draw((0, 0, 0, 0, 0, 1))), self.model.now
        fires = [self.draw_fire(draw) for _ in range(draw((1, 2, 3)))]
        assert self.book.fire(epoch, fires) == self.model.fire(epoch, fires)
        self.again = lambda: self.fire_again(epoch, fires) if self.model.now == now else None

    def fire_again(self, epoch: int, fires: list[Fire]) -> None:
        before = self.look()
        answers = self.book.fire(epoch, fires)
        assert answers == self.model.fire(epoch, fires)
        assert not {"ok", "overlap", "missed"} & set(answers)
        assert self.look() == before

    def draw_fire(self, draw: Draw) -> Fire:
        name, instant = draw(("s1", "s1", "s1", "s2")), self.model.now // 1000 * 1000 + draw((0, 0, -1000, -2000, -5000, 2000))
        run = Submission(id=f"{name}@{instant}", task=draw("al"), delay_ms=draw((0, 0, 500)))
        overlap, missed, previous = draw(("allow", "skip", "queue_one", "replace", "replace")), draw((0, 0, 2)), draw((0, instant - 1000))
        return Fire(name, instant, previous, instant + 1000, run, overlap, 3, missed, "misfired", draw((True, True, True, False)))

    # ── Truths ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def the_states_are_the_same(self) -> None:
        assert self.look() == self.model.keys()

    @invariant()
    def the_stories_are_the_same(self) -> None:
        new, self.told = self.model.events[self.told :], len(self.model.events)
        events = self.lab.events()
        assert sorted(events) == sorted(new)
        for kind, run, token, _, _ in events:
            self.check_token(kind, run, int(token))

    def check_token(self, kind: str, run: str, token: int) -> None:
        """A token only grows, and an end carries the last one; between two retries there is one end."""
        if kind == "running":
            assert token == self.starts.get(run, 0) + 1
            self.starts[run] = token
        elif kind in TERMINAL and kind != "skipped":  # it is a schedule that skips
            assert token == self.starts.get(run, 0)
            assert self.ends.get(run) is None, f"{run} ended twice"
            self.ends[run] = token
        elif kind == "pending":
            self.ends.pop(run, None)

    @invariant()
    def no_run_is_lost(self) -> None:
        p, client = self.queue.prefix, self.lab.client
        pipe = client.pipeline(transaction=False)
        for key in client.scan_iter(f"{p}lane:*", count=10_000):
            pipe.zcard(key)
        for key in client.scan_iter(f"{p}own:*", count=10_000):
            pipe.scard(key)
        pipe.zcard(f"{p}delayed")
        assert sum(pipe.execute()) == sum(run.state not in TERMINAL for run in self.model.runs.values())

    def teardown(self) -> None:
        """Whatever happened: with one able worker and time, every Run comes to its end."""
        for task in KINDS:
            self.define(task, {})
            self.model.paused.discard(f"task/{task}")
            self.queue.pause("task", task, on=False)
        for queue in QUEUES:
            self.queue.pause("queue", queue, on=False)
        self.queue.enroll(Enrolment("last", "host", 1, 9, ["*"], KINDS), 10**9)
        settlements: list[Settlement] = []
        for number in range(12):
            self.lab.queue.functions.now += MINUTE
            for worker in self.queue.sweep(expected_ms=self.lab.now, longest_lease_ms=10**9).fenced:
                orphans = self.queue.orphans(worker)
                self.queue.settle([Settlement(o.claim.id, o.claim.token, State.PENDING, "lost") for o in orphans])
            turn = self.queue.turn("last", f"last{number}", Free(100, 100, 100), settlements)
            settlements = [Settlement(claim.id, claim.token, State.SUCCEEDED) for claim in turn.claims]
        left = {name: value for name, value in self.look().items() if name.startswith("r:") and value["state"] not in TERMINAL}
        assert left == {}
        for kind, run, token, _, _ in self.lab.events():
            self.check_token(kind, run, int(token))


READ: dict[str, Callable[[Any, str], Any]] = {
    "hash": lambda pipe, key: pipe.hgetall(key),
    "zset": lambda pipe, key: pipe.zrange(key, 0, -1, withscores=True),
    "set": lambda pipe, key: pipe.smembers(key),
    "list": lambda pipe, key: pipe.lrange(key, 0, -1),
    "string": lambda pipe, key: pipe.get(key),
}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return {member: int(score) for member, score in value}
    return round(float(value)) if name.startswith("rate:") else value


EXAMPLES = os.environ.get("QUEUE_MODEL_EXAMPLES")  # a longer search, with other examples each time
PROFILE = settings(
    max_examples=int(EXAMPLES or 60),
    stateful_step_count=int(os.environ.get("QUEUE_MODEL_STEPS", "100")),
    derandomize=EXAMPLES is None,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink),
)


@pytest.mark.timeout(1200)
def test_the_queue_does_what_the_model_does(lab: Any, server: Any) -> None:
    few = settings(PROFILE, max_examples=PROFILE.max_examples // 3)  # the second server differs in little
    run_state_machine_as_test(lambda: Machine(lab), settings=few if server.binary.endswith("redis-server") else PROFILE)
