"""A server that is full, one that forgets its functions, and foreign writers in our keys."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scheduler.core.errors import IntakeClosedError
from scheduler.core.ports import Free
from scheduler.core.run import Settlement, Submission
from scheduler.core.states import State
from scheduler.core.task import Schedule, Task
from scheduler.queue import AddedTasks, RunQueue, ScheduleBook
from scheduler.queue.functions import library
from scheduler.queue.keys import PATTERNS
from scheduler.queue.signs import read_signs
from scheduler.queue.stats import read_stats

# ── Memory ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def full(lab: Any) -> Iterator[Callable[[], None]]:
    """Fills the server up; what happens afterwards happens at maxmemory."""

    def fill() -> None:
        lab.client.config_set("maxmemory", lab.client.info("memory")["used_memory"])

    yield fill
    lab.client.config_set("maxmemory", 0)


def test_a_full_server_takes_no_new_run_and_writes_nothing(lab: Any, full: Any) -> None:
    lab.enroll()
    lab.submit("r1", "r2")
    lab.take()
    lab.settle("r1", State.FAILED)
    before = lab.state()
    full()
    for attempt in (lambda: lab.submit("r3", params='{"x":1}'), lambda: lab.queue.retry("r1")):
        with pytest.raises(IntakeClosedError, match="memory is full"):
            attempt()
    lab.client.config_set("maxmemory", 0)
    assert lab.changes(before) == {}


def test_a_full_server_lets_all_else_go_on(lab: Any, full: Any) -> None:
    lab.enroll(tasks="a b")
    lab.define("a", limit=2)
    lab.submit("r1", "r2", "r3", "r4", "r5")
    lab.submit("d1", delay_ms=5)
    assert lab.take(9) == ["r1", "r2"]
    full()
    assert lab.queue.reserve_gpu("r1", {"A": 100}, 50, 1) == ["A"]
    assert lab.turn(9, Settlement("r1", 1, State.SUCCEEDED), Settlement("r2", 1, State.DELAYED, delay_ms=5)).claims != []
    assert lab.queue.report("r3", 1, 50, "half")
    assert lab.queue.cancel("r3") == "cancelling"
    assert lab.settle("r3", State.CANCELLED) == "ok"
    assert lab.queue.beat(["w"], 15_000) == {"w": True}
    lab.pass_ms(5)
    assert lab.sweep().moved == 2
    assert lab.enroll("w2")
    lab.queue.abandon("w")
    for orphan in lab.queue.orphans("w"):
        assert lab.queue.settle([Settlement(orphan.claim.id, orphan.claim.token, State.PENDING, "lost")]) == ["ok"]
    lab.queue.retain(keep=1, keep_ms=10**6, events=10)
    lab.queue.pause("task", "a")
    lab.queue.pause("task", "a", on=False)
    assert lab.queue.purge("queue", "default") == 4
    assert read_stats(lab.queue).finished == 5


# ── Functions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_server_that_forgot_the_functions_is_told_again(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1")
    lab.client.function_flush()
    lab.client.script_flush()
    assert lab.take() == ["r1"]
    lab.client.function_flush()
    assert lab.settle("r1") == "ok"


def test_functions_are_flushed_under_load(lab: Any, server: Any) -> None:
    over = threading.Event()

    def flush() -> None:
        with type(lab.client)(unix_socket_path=server.socket) as client:
            while not over.is_set():
                client.function_flush()
                over.wait(0.005)

    vandal = threading.Thread(target=flush)
    vandal.start()
    try:
        lab.enroll()
        for number in range(300):
            assert lab.submit(f"r{number}") == ["ok"]
            assert lab.take() == [f"r{number}"]
            assert lab.settle(f"r{number}") == "ok"
    finally:
        over.set()
        vandal.join()
    assert len(lab.state()["done"]) == 300


def test_two_versions_live_side_by_side(lab: Any, tmp_path: Any) -> None:
    for path in (library.__wrapped__.__defaults__[0]).glob("*.lua"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "order.lua").write_text((tmp_path / "order.lua").read_text() + "\n-- another version\n")
    lab.client.function_flush()
    lab.submit("r1")
    other = RunQueue(lab.client, "t")
    other.functions._library = library(tmp_path)
    other.functions._names = {verb: f"{other.functions._library.name}_{verb}" for verb in other.functions._library.verbs}
    assert other.submit([Submission(id="r2", task="a")]) == ["ok"]
    assert lab.submit("r3") == ["ok"]
    assert len(lab.client.function_list()) == 2


def test_loading_twice_is_harmless(lab: Any) -> None:
    lab.client.function_flush()
    lab.queue.functions.load()
    lab.queue.functions.load()
    assert len(lab.client.function_list()) == 1


def test_other_errors_are_raised_as_they_are(lab: Any) -> None:
    lab.enroll()
    with pytest.raises(Exception, match=r"number|arithmetic"):
        lab.queue.functions.call("beat", "no number", "w")


def test_a_library_that_cannot_be_loaded_is_an_error(lab: Any) -> None:
    functions = lab.queue.functions
    functions._library = type(functions._library)("broken", "#!lua name=broken\nthis is no Lua", functions._library.verbs)
    with pytest.raises(Exception, match="Error compiling"):
        functions.load()


def test_a_fault_that_stays_is_raised(lab: Any) -> None:
    lab.client.function_flush()
    lab.queue.functions.load = lambda: None
    with pytest.raises(Exception, match="Function not found"):
        lab.submit("r1")


def test_every_file_must_declare_its_verb(tmp_path: Any) -> None:
    (tmp_path / "verb.lua").write_text("--[[ other: a name that is not the file's.\nkeys: -\nargs: -\nreturns: -\nflags:\n]]\n")
    with pytest.raises(ValueError, match=r"verb\.lua: the header must read '--\[\[ verb: "):
        library(tmp_path)


# ── Foreign writers ───────────────────────────────────────────────────────────────────────────────────────────────────


def busy_centre(lab: Any) -> None:
    """Something in every kind of key."""
    for worker in ("w", "w2"):
        lab.enroll(worker, "a b c g l p")
    lab.define("b", limit=1, rates=((5, 60_000),))
    lab.define("l", limit=1)
    lab.define("p", executor="processpool")
    lab.submit("a1", "a2", "a3", idempotency="")
    lab.submit("a4", idempotency="key body")
    lab.submit("b1", "b2", task="b")
    lab.submit("u1", task="unknown")
    lab.submit("d1", delay_ms=60_000)
    lab.submit("g1", task="g", priority=9)
    assert set(lab.take(3)) == {"g1", "a1", "a2"}
    lab.queue.reserve_gpu("g1", {"A": 100}, 50, 1)
    lab.settle("a1")
    lab.queue.cancel("a2")
    assert set(lab.take(9)) == {"a3", "a4", "b1"}
    lab.settle("a3", State.DEAD)
    lab.queue.save_log("a4", "text", 4)
    lab.submit("c1", task="c")
    lab.client.sadd(lab.key("active:s"), "c1")
    lab.client.hset(lab.key("r:c1"), mapping={"sched": "s", "at": "5"})
    lab.queue.pause("task", "zzz")
    lab.queue.functions.call("elect", "me", 5000)
    lab.queue.functions.call("attend", "me", "", 15_000)
    lab.queue.functions.call("schedule", "s", "{}", 1)
    lab.queue.retain(keep=100, keep_ms=10**9, events=10**6)
    lab.queue.abandon("w9")
    lab.queue.orphans("w9")
    lab.queue.abandon("w8")
    lab.queue.pause("queue", "nothing")
    lab.queue.define([Task(name="added", target="m:f")], added=True)
    lab.take(1, "w2")
    lab.settle("b1", State.PENDING, close_lane_ms=5)
    lab.submit("l1", task="l", priority=9)
    lab.submit("p1", "p2", task="p")
    assert lab.take(1) == ["l1"]
    lab.turn(9)
    lab.turn(9, worker="w2")


def live_on(lab: Any) -> dict[str, str]:
    """What every Run comes to when the centre goes on for two minutes, with a new worker and a rescuer at work."""
    AddedTasks(lab.queue).all()
    lab.queue.functions.call("attend", "me", "", 15_000)
    for task, facts in {"b": {"limit": 1, "rates": ((5, 60_000),)}, "l": {"limit": 1}, "p": {"executor": "processpool"}}.items():
        lab.define(task, **facts)
    mine: dict[str, int] = {}
    for round_ in range(40):
        lab.pass_ms(6_000)
        lab.enroll(f"n{round_}", "a b c g l p unknown")
        for worker in lab.sweep(expected_ms=lab.now).fenced:
            for orphan in lab.queue.orphans(worker):
                lab.queue.settle([Settlement(orphan.claim.id, orphan.claim.token, State.PENDING, "lost")])
        for worker in {*(f"n{number}" for number in range(max(0, round_ - 2), round_ + 1))}:
            turn = lab.turn(Free(3, 3, 3), *(Settlement(run, token, State.SUCCEEDED) for run, token in mine.items()), worker=worker)
            if not turn.fenced:
                mine = {claim.id: claim.token for claim in turn.claims}
    keys = lab.client.scan_iter(lab.key("r:*"))
    return {key.removeprefix(lab.key("r:")): lab.client.hget(key, "state") for key in keys if lab.client.type(key) == "hash"}


SUCCEED = ("a1", "a4", "b1", "b2", "c1", "d1", "g1", "l1", "p1", "p2", "u1")
EXPECTED = dict.fromkeys(SUCCEED, "succeeded") | {"a2": "cancelled", "a3": "dead"}
OF_A_RUN = ("r", "log", "bad")
KEYS = [pattern for pattern in PATTERNS if pattern.partition(":")[0] not in OF_A_RUN]


def first_key(lab: Any, pattern: str) -> str:
    names = sorted(key.removeprefix(lab.queue.prefix) for key in lab.client.scan_iter(lab.key(pattern)))
    assert names, f"the centre has no key {pattern}"
    return str(names[0])


def test_the_centre_of_these_tests_is_healthy(lab: Any) -> None:
    busy_centre(lab)
    assert live_on(lab) == EXPECTED


@pytest.mark.parametrize("pattern", KEYS)
def test_a_key_of_another_type_is_moved_aside_and_nothing_is_lost(lab: Any, pattern: Any, caplog: Any) -> None:
    busy_centre(lab)
    name = first_key(lab, pattern)
    kind = lab.client.type(lab.key(name))
    lab.client.delete(lab.key(name))
    if kind == "string":
        lab.client.rpush(lab.key(name), "garbage")
    else:
        lab.client.set(lab.key(name), "garbage")
    with caplog.at_level(logging.ERROR, "scheduler.queue.quarantine"):
        assert lab.submit("probe", idempotency="key2 body")[0] in ("ok", "duplicate")  # it may have been cured on the way
        lab.queue.submit([Submission(id="probe2", task="a", idempotency="key body")])
        lab.queue.functions.call("fire", 1, "s", lab.now, 0, 0, "skip", 1, 0, "", 1, f"s@{lab.now}", "c", "default", 5, "", 0, "")
        lab.queue.cancel("d9")
        read_stats(lab.queue)
        ended = live_on(lab)
    assert {run: state for run, state in ended.items() if not run.startswith(("probe", "s@"))} == EXPECTED
    assert ended["probe"] == "succeeded"
    assert len(caplog.records) == (pattern != "ev")
    assert lab.client.exists(lab.key(f"bad:{name}"))


def test_a_record_of_another_type_costs_that_run_alone(lab: Any) -> None:
    busy_centre(lab)
    for run in ("b2", "g1", "d1"):
        lab.client.delete(lab.key(f"r:{run}"))
        lab.client.rpush(lab.key(f"r:{run}"), "garbage")
    ended = live_on(lab)
    assert ended == {run: state for run, state in EXPECTED.items() if run not in ("b2", "g1", "d1")}
    assert [lab.client.type(lab.key(f"bad:r:{run}")) for run in ("b2", "g1", "d1")] == ["list"] * 3
    assert 600_000 < lab.client.ttl(lab.key("bad:r:b2")) <= 604_800


FOREIGN: dict[str, Any] = {
    "hash": lambda client, key: client.hset(key, mapping={"garbage": "garbage", "default/a": "garbage", "a": "x;y;z"}),
    "zset": lambda client, key: client.zadd(key, {"garbage": 1, "default/garbage": 2, "other/garbage": 3, "x#y": 4}),
    "set": lambda client, key: client.sadd(key, "garbage", "default/garbage"),
    "list": lambda client, key: client.rpush(key, "garbage"),
    "stream": lambda client, key: client.xadd(key, {"garbage": "garbage"}),
    "string": lambda client, key: client.set(key, "garbage"),
}


@pytest.mark.parametrize("pattern", KEYS)
def test_foreign_members_do_not_stop_the_centre(lab: Any, pattern: Any) -> None:
    busy_centre(lab)
    name = first_key(lab, pattern)
    FOREIGN[lab.client.type(lab.key(name))](lab.client, lab.key(name))
    lab.submit("probe", idempotency="key2 body")
    lab.queue.submit([Submission(id="probe2", task="a", idempotency="key body")])
    lab.queue.reserve_gpu("g1", {"A": 100}, 50, 1)
    ended = live_on(lab)
    assert {run: state for run, state in ended.items() if run in EXPECTED} == EXPECTED
    assert ended["probe"] == "succeeded"


FIELDS = ("token", "spared", "losses", "crashes", "score", "due", "delay", "prio", "at", "queue", "state", "task", "params", "started")


@pytest.mark.parametrize("value", ["garbage", "nan", "1e400"])
@pytest.mark.parametrize("field", FIELDS)
def test_a_record_with_foreign_values_does_not_stop_the_others(lab: Any, field: Any, value: Any) -> None:
    lab.enroll()
    lab.submit("r1", "r2")
    lab.submit("r3", delay_ms=10)
    for run in ("r1", "r3"):
        lab.client.hset(lab.key(f"r:{run}"), field, value)
    assert "r2" in {run.id for run in lab.queue.find()}
    lab.pass_ms(10)
    lab.sweep()
    claims = lab.claim(9)
    assert "r2" in {claim.id for claim in claims}
    turn = lab.turn(0, *(Settlement(claim.id, claim.token, State.PENDING, strike="loss", burn=False) for claim in claims))
    assert set(turn.answers) == {"ok"}


NUMBERS = ("garbage", "01", "nan", "1e400", "-1", "1.5", "")
NOT_WHOLE = [*((field, value) for field in ("token", "started") for value in NUMBERS), ("state", "garbage")]


@pytest.mark.parametrize(("field", "value"), [*NOT_WHOLE, *((field, None) for field in ("token", "started", "state", "task"))])
def test_an_orphan_whose_record_is_not_whole_steps_aside(lab: Any, field: str, value: Any, caplog: Any) -> None:
    lab.enroll()
    lab.submit("r1", "r2")
    lab.take(2)
    lab.client.hdel(lab.key("r:r1"), field)
    if value is not None:
        lab.client.hset(lab.key("r:r1"), field, value)
    lab.queue.abandon("w")
    assert [orphan.claim.id for orphan in lab.queue.orphans("w")] == ["r2"]
    lab.queue.settle([Settlement("r2", 1, State.PENDING, "lost")])
    assert lab.queue.orphans("w") == []
    assert lab.state()["gone"] == {"w": lab.NOW}
    assert "r:r1" not in lab.state()
    assert 600_000 < lab.client.ttl(lab.key("bad:r:r1")) <= 604_800
    assert [(record.levelname, "r1" in record.getMessage()) for record in caplog.records] == [("ERROR", True)]


def test_a_lost_reply_is_repeated_without_a_claim_whose_record_is_not_whole(lab: Any) -> None:
    lab.enroll()
    lab.submit("r1", "r2")
    lab.turn(2, nonce="n")
    lab.client.hset(lab.key("r:r1"), "token", "garbage")
    assert [claim.id for claim in lab.turn(2, nonce="n").claims] == ["r2"]


def test_the_stream_steps_aside_without_losing_an_event(lab: Any) -> None:
    lab.client.set(lab.key("ev"), "garbage")
    lab.submit("r1")
    assert lab.events() == [("pending", "r1", "0", "", "")]
    assert lab.client.get(lab.key("bad:ev")) == "garbage"
    assert 600_000 < lab.client.ttl(lab.key("bad:ev")) <= 604_800


def test_what_has_fired_is_read_as_nothing_where_it_is_garbage(lab: Any) -> None:
    book = ScheduleBook(lab.queue)
    book.save_schedules([Schedule(name=name, task="a", trigger="interval", args={"seconds": 1}) for name in ("s1", "s2")])
    for text in ("garbage", "1;2", "1;2;x-y", "1;2;"):
        lab.client.hset(lab.key("fired"), "s1", text)
        known = book.load_schedules()
        assert (known["s1"][1].last_ms, known["s2"][1].last_ms) == (0, lab.NOW)


@pytest.mark.parametrize("value", ["garbage", "", "nan", "1e400", "-5", "1.5"])
@pytest.mark.parametrize(
    "field", ["meta/generation", "meta/epoch", "meta/keep", "lead/until", "lead/epoch", "lead/heard", "why/x", "task:a/limit"]
)
def test_garbage_in_a_field_is_read_as_nothing(lab: Any, field: str, value: str) -> None:
    book = ScheduleBook(lab.queue)
    epoch = book.elect("me", 5000).epoch
    lab.enroll()
    key, _, name = field.partition("/")
    lab.client.hset(lab.key(key), name, value)
    lab.client.zadd(lab.key("closed"), {"x": lab.NOW + 1})
    assert book.generation() <= 1
    book.save_schedules([Schedule(name="s", task="a", trigger="interval", args={"seconds": 1})])
    book.pause_schedule("s")
    assert book.generation() == 2
    assert book.leader()[0] == read_signs(lab.queue, [], lab.now)[0].instance == "me"
    assert book.elect("me", 5000).epoch >= epoch
    lab.pass_ms(5000)
    assert book.elect("other", 5000).epoch > epoch
    read_stats(lab.queue)
    lab.submit("r1")
    assert lab.take() == ["r1"]
    assert lab.settle("r1") == "ok"
    lab.sweep()


def test_an_epoch_of_the_leader_that_was_overwritten_does_not_go_back(lab: Any) -> None:
    book = ScheduleBook(lab.queue)
    for instance in ("a", "b", "c"):
        book.elect(instance, 5000)
        lab.pass_ms(5000)
    lab.client.hset(lab.key("lead"), "epoch", "garbage")
    assert book.elect("d", 5000).epoch == 4


def test_a_record_of_garbage_is_no_run_and_one_with_garbage_has_defaults(lab: Any) -> None:
    lab.submit("r1", "r2", params='{"x":1}')
    lab.client.hset(lab.key("r:r1"), "state", "weird")
    facts = ("params", "result", "error", "token", "created", "at", "prio", "prog")
    lab.client.hset(lab.key("r:r2"), mapping=dict.fromkeys(facts, "{x"))
    [run] = lab.queue.find()
    assert (run.id, run.params, run.result, run.error, run.claims, run.created_ms) == ("r2", {}, None, None, 0, 0)
    assert (run.scheduled_ms, run.priority, run.progress) == (None, 5, 0)
    lab.client.hset(lab.key("r:r2"), "params", "[1]")
    assert [run.params for run in lab.queue.find()] == [{}]


def test_nothing_foreign_found_means_the_error_stands(lab: Any) -> None:
    lab.client.set(lab.key("x"), "1")
    lab.client.set("elsewhere", "1")
    assert lab.queue.functions._cured("WRONGTYPE of a key that has healed meanwhile") is False
    lab.client.delete(lab.key("x"), "elsewhere")
