"""submit and submit_many: what is stored, what is refused and how the refusal reads. Nothing needs to run for that."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import redis

from scheduler.center import SchedulerCenter
from scheduler.core.errors import ConflictError, IntakeClosedError, ParamsError, RunNotFoundError, UnknownTaskError, WaitTimeoutError
from scheduler.core.ids import RUN_ID
from scheduler.core.task import Task
from scheduler.intake import concurrency_key

TASKS = {
    "simple": {"trigger": "none", "priority": 7, "queue": "mail"},
    "per_tenant": {"module": "simple", "trigger": "none", "concurrency_key": "{params.tenant}/{region}", "params": {"region": "eu"}},
    "switched_off": {"module": "simple", "trigger": "none", "enabled": False},
}


@pytest.fixture
def center(desk: Any) -> SchedulerCenter:
    return desk.center(TASKS)


def waiting(center: SchedulerCenter) -> int:
    return sum(queue["depth"] for queue in center.stats()["queues"].values())


def test_a_run_is_stored_when_submit_returns(center: SchedulerCenter) -> None:
    run = center.get_run(center.submit("simple", {"x": {"a": [1, "ü", None]}}))
    assert (run.state, run.task, run.queue, run.priority, run.params) == ("pending", "simple", "mail", 7, {"x": {"a": [1, "ü", None]}})
    assert RUN_ID.fullmatch(run.id)


def test_an_unknown_task_names_the_nearest(center: SchedulerCenter) -> None:
    with pytest.raises(UnknownTaskError, match=r"no task named 'simpel'; did you mean '?simple"):
        center.submit("simpel")
    assert center.find_task("simpel") is None


def test_a_task_that_is_switched_off_cannot_be_submitted(center: SchedulerCenter) -> None:
    with pytest.raises(UnknownTaskError, match=r"no task named 'switched_off'; it is switched off at .*known are: per_tenant, simple$"):
        center.submit("switched_off")


@pytest.mark.parametrize("priority", [1, 10])
def test_priorities_are_1_to_10(center: SchedulerCenter, priority: Any) -> None:
    assert center.get_run(center.submit("simple", priority=priority)).priority == priority


@pytest.mark.parametrize("priority", [0, 11, -1, True, 5.0, "5"])
def test_other_priorities_are_refused(center: SchedulerCenter, priority: Any) -> None:
    with pytest.raises(ParamsError, match="allowed is 1 to 10, 10 first"):
        center.submit("simple", priority=priority)


def test_the_same_id_and_body_is_the_same_run(center: SchedulerCenter) -> None:
    assert center.submit("simple", {"x": 1}, run_id="order-7") == "order-7"
    assert center.submit("simple", {"x": 1}, run_id="order-7") == "order-7"
    assert waiting(center) == 1
    with pytest.raises(ConflictError, match="the id 'order-7' was used before"):
        center.submit("simple", {"x": 2}, run_id="order-7")


@pytest.mark.parametrize("run_id", ["", "a b", "../etc", "ü", "x" * 129, "-x"])
def test_ids_are_safe_as_names(center: SchedulerCenter, run_id: str) -> None:
    with pytest.raises(ParamsError, match="run id"):
        center.submit("simple", run_id=run_id)


@pytest.mark.parametrize(("name", "value"), [("run_id", 7), ("key", 7), ("at", "2100-01-01")])
def test_other_types_are_refused(center: SchedulerCenter, name: str, value: Any) -> None:
    with pytest.raises(ParamsError, match=f"{value}"):
        center.submit("simple", **{name: value})


def test_an_idempotency_key_gives_the_first_run_again(center: SchedulerCenter) -> None:
    first = center.submit("simple", {"x": 1}, key="req-1")
    assert center.submit("simple", {"x": 1}, key="req-1") == first
    with pytest.raises(ConflictError, match="this idempotency key was used before"):
        center.submit("simple", {"x": 2}, key="req-1")
    assert center.submit("simple", {"x": 2}, key="req-2") != first


@pytest.mark.parametrize(("delay", "ms"), [("0.2s", 200), (1.5, 1500), ("1h30m", 5_400_000)])
def test_a_delay_is_seconds_or_a_duration(center: SchedulerCenter, delay: Any, ms: int) -> None:
    run = center.get_run(center.submit("simple", delay=delay))
    assert (run.state, run.reason, run.due_ms - run.created_ms) == ("delayed", "scheduled", ms)


@pytest.mark.parametrize("delay", ["soon", -1, float("nan"), True])
def test_other_delays_are_refused(center: SchedulerCenter, delay: Any) -> None:
    with pytest.raises(ParamsError, match="is not a duration"):
        center.submit("simple", delay=delay)


def test_at_is_an_instant(center: SchedulerCenter) -> None:
    at = datetime(2100, 1, 1, 9, tzinfo=timezone(timedelta(hours=8)))
    assert center.get_run(center.submit("simple", at=at)).due_ms == round(at.timestamp() * 1000)
    assert center.get_run(center.submit("simple", at=datetime(2000, 1, 1, tzinfo=UTC))).state == "pending"


def test_a_naive_time_is_refused(center: SchedulerCenter) -> None:
    with pytest.raises(ParamsError, match="at=2100-01-01T09:00:00 has no time zone"):
        center.submit("simple", at=datetime(2100, 1, 1, 9))  # noqa: DTZ001  # that is the mistake


def test_a_delay_and_a_time_contradict_each_other(center: SchedulerCenter) -> None:
    with pytest.raises(ParamsError, match="either delay or at"):
        center.submit("simple", delay=5, at=datetime(2100, 1, 1, tzinfo=UTC))


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"x": float("nan")}, "params must be JSON"),
        ({"x": {1, 2}}, "params must be JSON.*set"),
        ({"x": nested(32)}, "nested deeper than 32"),
        ({"x": nested(100_000)}, "params must be JSON"),
        ({"x": "ü" * 40_000}, "at most 65536 bytes"),
        ({"x": "\ud800"}, "params must be JSON.*surrogate"),
        ([1], r"params \[1\] must be a mapping"),
        ("x", "params 'x' must be a mapping"),
        ({1: 2}, "1 is no name of a parameter"),
    ],
)
def test_params_that_cannot_be_kept_are_refused(center: SchedulerCenter, params: Any, words: str) -> None:
    with pytest.raises(ParamsError, match=words):
        center.submit("simple", params)
    assert waiting(center) == 0


def test_params_up_to_the_limits_are_kept(center: SchedulerCenter) -> None:
    params = {"x": nested(30), "y": "z" * 60_000}
    assert center.get_run(center.submit("simple", params)).params == params


def test_params_are_checked_against_the_signature_where_the_plugins_are_loaded(desk: Any) -> None:
    desk.plugin("typed", "def run(count: int, name: str = ''): ...")
    center = desk.center({"typed": {"trigger": "none"}})
    assert center.catalogue.broken == {}
    assert center.get_run(center.submit("typed", {"count": 3})).params == {"count": 3}
    for params, words in [
        ({"cuont": 3}, "unknown parameter 'cuont'.*did you mean 'count'"),
        ({"count": "3"}, "allowed is int"),
        ({}, "missing"),
    ]:
        with pytest.raises(ParamsError, match=f"task typed: .*{words}"):
            center.submit("typed", params)


# ── Many at once ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_many_at_once_in_every_shape_keep_their_order(center: SchedulerCenter) -> None:
    ids = center.submit_many(["simple", ("simple", {"x": 1}), ("simple", {"x": 2}, 9), {"task": "simple", "priority": 2, "run_id": "mine"}])
    runs = [center.get_run(run) for run in ids]
    assert [(run.params, run.priority) for run in runs] == [({}, 7), ({"x": 1}, 7), ({"x": 2}, 9), ({}, 2)]
    assert ids[3] == "mine"


def test_more_than_one_call_can_carry(center: SchedulerCenter) -> None:
    ids = center.submit_many([("simple", {"x": n}) for n in range(1201)])
    assert len(set(ids)) == 1201
    assert waiting(center) == 1201
    assert center.get_run(ids[-1]).params == {"x": 1200}


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        ({"task": "simple", "parms": {}}, ParamsError, "unknown parms in a request: allowed are task, params"),
        ({"params": {}}, ParamsError, "it needs a task"),
        (("simple", {}, 5, 0, None, None, None, "more"), ParamsError, "no request"),
        (42, ParamsError, "42 is no request"),
        ("simpel", UnknownTaskError, "did you mean '?simple"),
        (("simple", {"x": float("inf")}), ParamsError, "JSON"),
    ],
)
def test_one_bad_request_stores_none(center: SchedulerCenter, request_: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        center.submit_many(["simple", request_])
    assert waiting(center) == 0


# ── Concurrency keys ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_concurrency_key_is_filled_in(center: SchedulerCenter) -> None:
    assert center.get_run(center.submit("per_tenant", {"tenant": 7})).key == "7/eu"
    assert len(center.get_run(center.submit("per_tenant", {"tenant": "x" * 100})).key) == 16
    assert len(center.get_run(center.submit("per_tenant", {"tenant": "a\tb"})).key) == 16


def test_a_concurrency_key_needs_its_parameters(center: SchedulerCenter) -> None:
    with pytest.raises(ParamsError, match="concurrency_key of per_tenant needs the parameter 'tenant'"):
        center.submit("per_tenant")


@pytest.mark.parametrize("key", ["{params.tenant", "{foo.bar}"])
def test_a_concurrency_key_that_cannot_be_read_names_task_and_key(key: str) -> None:
    with pytest.raises(ParamsError, match=f"concurrency_key of t, '{re.escape(key)}', cannot be filled in"):
        concurrency_key(Task(name="t", target="t:run", concurrency_key=key), {"tenant": 1})


# ── Afterwards ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_that_is_not_there(center: SchedulerCenter) -> None:
    assert center.get_run("nothing") is None
    for ask in (center.wait, center.cancel, center.retry):
        with pytest.raises(RunNotFoundError, match="no Run 'nothing'"):
            ask("nothing")


def test_wait_gives_up(center: SchedulerCenter) -> None:
    run = center.submit("simple")
    with pytest.raises(WaitTimeoutError, match=f"Run {run} is pending after 0.05 s"):
        center.wait(run, timeout=0.05)
    with pytest.raises(TimeoutError):
        center.wait(run, timeout=0)


@pytest.mark.parametrize("delay", [0, "1h"])
def test_a_waiting_run_is_cancelled_at_once(center: SchedulerCenter, delay: Any) -> None:
    run = center.submit("simple", delay=delay)
    assert center.cancel(run, "not needed") is True
    ended = center.wait(run, timeout=0)
    assert (ended.state, ended.reason) == ("cancelled", "not needed")
    assert center.cancel(run) is True  # asked again: it is cancelled


def test_a_cancelled_run_starts_over_under_its_id(center: SchedulerCenter) -> None:
    run = center.submit("simple")
    with pytest.raises(ConflictError, match="cannot be retried: it has not ended"):
        center.retry(run)
    center.cancel(run)
    assert center.get_run(run).reason == "cancelled"
    assert center.retry(run) == run
    assert center.get_run(run).state == "pending"


def test_a_full_store_closes_the_intake(center: SchedulerCenter, client: redis.Redis) -> None:
    kept = center.submit("simple")
    client.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(IntakeClosedError, match="memory is full"):
            center.submit("simple")
    finally:
        client.config_set("maxmemory", "0")
    assert center.get_run(kept).state == "pending"
