"""The sweeper: when it rescues, when it must not, and what becomes of the rescued."""

from typing import Any

import pytest
import redis

from scheduler.core.ids import new_id
from scheduler.core.ports import Enrolment, Free
from scheduler.core.run import Submission
from scheduler.core.task import Task
from scheduler.queue import RunQueue
from scheduler.worker.sweeper import RETAIN_EVERY_S, ROUND_S, Leases, Retention, Sweeper

T0 = 1_800_000_000_000
LEASES = Leases(lease_ms=3000, beat_ms=1000)
TASKS = {"a": Task(name="a", target="m:f"), "late": Task(name="late", target="m:f", timeout_ms=500, max_attempts=2)}


class World:
    """The server's clock and ours, moved together or apart."""

    def __init__(self, queue: Any) -> None:
        self.queue = queue
        self.mono = 100.0
        self.server = 0
        self.at(0)
        self.sweeper = Sweeper(queue, TASKS.get, LEASES, Retention(runs=2), clock=lambda: self.mono)

    def at(self, ms: int) -> None:
        self.server = ms
        self.queue.functions.now = T0 + ms

    def pass_ms(self, ms: int) -> None:
        self.mono += ms / 1000
        self.at(self.server + ms)

    def step(self, ms: int = 500) -> Any:
        self.pass_ms(ms)
        return self.sweeper.step()

    def worker(self, name: str, task: str = "a", *, claim: Any = True) -> Any:
        self.queue.enroll(Enrolment(name, "h", 1, 1, ["*"], list(TASKS)), LEASES.lease_ms)
        if not claim:
            return ""
        run = new_id()
        self.queue.submit([Submission(id=run, task=task)])
        assert [c.id for c in self.queue.turn(name, "1", Free(default=1)).claims] == [run]
        return run

    def state(self, run: str) -> Any:
        found = self.queue.get(run)
        return (found.state.value, found.reason, found.attempt, found.losses)


@pytest.fixture
def world(client: redis.Redis) -> Any:
    return World(RunQueue(client, "t"))


def test_a_worker_whose_lease_ran_out_is_rescued_within_a_round(world: Any) -> None:
    run = world.worker("w1")
    for _ in range(5):
        world.step()
    assert world.state(run)[0] == "running"
    world.step()
    assert world.state(run) == ("pending", "lost", 0, 1)


def test_who_beats_is_left_alone(world: Any) -> None:
    run = world.worker("w1")
    for _ in range(20):
        world.queue.beat(["w1"], LEASES.lease_ms)
        world.step()
    assert world.state(run)[0] == "running"


def test_a_fresh_sweeper_gives_everybody_two_beats(world: Any) -> None:
    run = world.worker("w1")
    world.pass_ms(60_000)  # everybody was away, the sweeper too
    world.sweeper = Sweeper(world.queue, TASKS.get, LEASES, clock=lambda: world.mono)
    world.step()
    assert world.state(run)[0] == "running"
    world.queue.beat(["w1"], LEASES.lease_ms)
    for _ in range(5):
        world.step()
    assert world.state(run)[0] == "running"


@pytest.mark.parametrize("step_ms", [60_000, 3_600_000, -60_000, -3_600_000])
def test_a_step_of_the_servers_clock_rescues_nobody_who_beats(world: Any, step_ms: int) -> None:
    run = world.worker("w1")
    for _ in range(5):
        world.queue.beat(["w1"], LEASES.lease_ms)
        world.step()
    world.at(world.server + step_ms)
    world.sweeper.step()
    for _ in range(12):
        world.queue.beat(["w1"], LEASES.lease_ms)
        world.step()
    assert world.state(run)[0] == "running"


def test_after_a_step_back_the_really_dead_are_rescued_within_two_leases(world: Any) -> None:
    run = world.worker("w1")
    for _ in range(5):
        world.queue.beat(["w1"], LEASES.lease_ms)
        world.step()
    world.at(world.server - 3_600_000)
    for _ in range(13):
        world.step()
    assert world.state(run)[:2] == ("pending", "lost")


def test_an_outage_gives_everybody_two_beats(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = world.worker("w1")
    for _ in range(5):
        world.step()
    sweep = world.queue.sweep
    monkeypatch.setattr(world.queue, "sweep", lambda **_: (_ for _ in ()).throw(ConnectionError("away")))
    assert world.step() == ROUND_S
    monkeypatch.setattr(world.queue, "sweep", sweep)
    world.step(1000)
    assert world.state(run)[0] == "running"
    world.step(1100)
    assert world.state(run)[0] == "pending"


def test_an_abandoned_worker_is_rescued_without_waiting(world: Any) -> None:
    run = world.worker("w1")
    world.queue.abandon("w1")
    assert world.sweeper.rescue("w1") == 1
    assert world.state(run) == ("pending", "lost", 0, 1)
    assert world.sweeper.rescue("w1") == 0


@pytest.mark.parametrize(
    ("field", "value"), [("token", "garbage"), ("started", "garbage"), ("state", "garbage"), ("params", "{x"), ("task", None)]
)
def test_garbage_in_a_record_keeps_nobody_else_from_being_rescued(world: Any, field: str, value: Any) -> None:
    spoilt, run = world.worker("w1"), world.worker("w2")
    world.queue.client.hdel(f"{world.queue.prefix}r:{spoilt}", field)
    if value is not None:
        world.queue.client.hset(f"{world.queue.prefix}r:{spoilt}", field, value)
    world.queue.abandon("w1")
    world.sweeper.rescue("w1")
    for _ in range(9):
        world.step()
    assert world.state(run) == ("pending", "lost", 0, 1)
    assert world.queue.client.zrange(f"{world.queue.prefix}gone", 0, -1) == ["w1", "w2"]


def test_one_whose_runs_cannot_be_decided_costs_the_others_nothing_and_is_told_once(world: Any, caplog: Any) -> None:
    innocent, broken = world.worker("w1"), world.worker("w2", "late")

    def find_task(name: str) -> Any:
        if name == "late":
            raise LookupError("nobody can tell")
        return TASKS[name]

    world.sweeper = Sweeper(world.queue, find_task, LEASES, clock=lambda: world.mono)
    for worker in ("w2", "w1"):  # the one that is broken is looked at first
        world.queue.abandon(worker)
        world.pass_ms(1)
    later = world.worker("w3")
    for _ in range(9):
        world.step()
    assert (world.state(innocent)[0], world.state(broken)[0], world.state(later)[0]) == ("pending", "running", "pending")
    assert [record.getMessage() for record in caplog.records if "nobody can tell" in record.getMessage()] == [
        "the sweeper cannot do all its work and tries again: LookupError: nobody can tell"
    ]


def test_a_rescue_ends_where_nothing_is_decided(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world.worker("w1")
    world.queue.abandon("w1")
    monkeypatch.setattr(world.queue, "settle", lambda settlements: ["gone"] * len(settlements))
    assert world.sweeper.rescue("w1") == 0


def test_a_run_past_its_deadline_cost_its_worker_and_pays_an_attempt(world: Any) -> None:
    run = world.worker("w1", "late")
    world.step(700)
    world.queue.abandon("w1")
    world.step()
    assert world.state(run) == ("delayed", "timed_out", 1, 0)


def test_the_deadline_counts_up_to_the_rescue_not_to_the_last_sweep(world: Any) -> None:
    run = world.worker("w1", "late")
    world.step(400)
    world.pass_ms(200)
    world.queue.abandon("w1")
    world.sweeper.rescue("w1")
    assert world.state(run) == ("delayed", "timed_out", 1, 0)


def test_before_the_first_sweep_nobody_is_late(world: Any) -> None:
    run = world.worker("w1", "late")
    world.pass_ms(5000)
    world.queue.abandon("w1")
    world.sweeper.rescue("w1")
    assert world.state(run) == ("pending", "lost", 0, 1)


def test_the_second_loss_waits_the_tenth_ends_it(world: Any) -> None:
    run = world.worker("w0")
    for n in range(10):
        world.queue.abandon(f"w{n}")
        world.sweeper.rescue(f"w{n}")
        if n == 1:
            assert world.state(run) == ("delayed", "lost", 0, 2)
        world.pass_ms(61_000)
        world.sweeper.step()
        world.queue.enroll(Enrolment(f"w{n + 1}", "h", 1, 1, ["*"], ["a"]), 10**9)
        world.queue.turn(f"w{n + 1}", "1", Free(default=1))
    assert world.state(run)[:2] == ("dead", "lost")


def test_the_wait_ends_when_the_next_run_is_due(world: Any) -> None:
    world.queue.submit([Submission(id="d", task="a", delay_ms=700)])
    assert world.step(500) == pytest.approx(0.2)
    assert world.step(100) == pytest.approx(0.1)
    assert world.step(100) == ROUND_S
    assert world.state("d")[0] == "pending"


def test_old_runs_are_let_go(world: Any) -> None:
    done = []
    for n in range(4):
        done.append(world.worker(f"w{n}"))
        world.queue.cancel(done[-1])
        world.queue.abandon(f"w{n}")
        world.step()
    world.step(RETAIN_EVERY_S * 1000)
    assert [world.queue.get(run) is None for run in done] == [True, True, False, False]
