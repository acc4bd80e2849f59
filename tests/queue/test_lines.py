"""Connections: the one kept for functions, the one that waits for a wake-up, and signs of life read in one round trip."""

import os
import select
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from scheduler.queue import WakeLine
from scheduler.queue.functions import Functions, Line
from scheduler.queue.signs import Leading, Seen, read_signs


def others(lab: Any) -> list[dict[str, str]]:
    """Connections of this client besides the one that asks."""
    me = lab.client.client_id()
    return [each for each in lab.client.client_list() if int(each["id"]) != me and each["flags"] != "x"]


def test_one_connection_serves_call_after_call(lab: Any) -> None:
    lab.submit("r0")
    line = [each["id"] for each in others(lab)]
    for number in range(1, 20):
        lab.submit(f"r{number}")
    assert [each["id"] for each in others(lab)] == line
    assert len(line) == 1


def test_callers_at_the_same_time_have_a_connection_each(lab: Any) -> None:
    answers: list[str] = []

    def submit(number: int) -> None:
        answers.extend(lab.submit(*(f"r{number}-{each}" for each in range(50))))

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["ok"] * 400


def test_a_connection_that_the_server_closed_is_replaced(lab: Any) -> None:
    lab.submit("r1")
    [line] = others(lab)
    lab.client.client_kill_filter(_id=line["id"])
    assert lab.submit("r2") == ["ok"]


def test_a_connection_in_doubt_is_not_used_again(lab: Any) -> None:
    line = Line(lab.client.connection_pool)
    with pytest.raises(redis.ResponseError):
        line.call("no_such_function", 0)
    [kept] = line._kept
    sock = kept._sock
    kept.send_command("PING")  # a reply that nobody will read stands for one that came too late
    assert select.select([sock], [], [], 5)[0]
    with pytest.raises(redis.ResponseError, match="Function not found"):
        line.call("no_such_function", 0)
    assert line._kept[0]._sock is not sock

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    kept.read_response = interrupted
    with pytest.raises(KeyboardInterrupt):
        line.call("no_such_function", 0)
    assert kept._sock is None
    del kept.read_response
    with pytest.raises(redis.ResponseError):
        line.call("no_such_function", 0)


def test_a_forked_child_has_a_connection_of_its_own(lab: Any, monkeypatch: Any) -> None:
    line = Line(lab.client.connection_pool)
    with pytest.raises(redis.ResponseError):
        line.call("no_such_function", 0)
    [kept] = line._kept
    pid = os.getpid()
    monkeypatch.setattr("scheduler.queue.functions.os.getpid", lambda: pid + 1)
    with pytest.raises(redis.ResponseError):
        line.call("no_such_function", 0)
    assert line._kept[0] is not kept
    kept.disconnect()


def test_a_client_without_a_pool_calls_by_itself(lab: Any) -> None:
    class Cluster:
        """As redis-py's: it finds the node for each command itself."""

        def __init__(self) -> None:
            self.fcall, self.function_load = lab.client.fcall, lab.client.function_load

    functions = Functions(Cluster(), lab.queue.prefix)
    assert functions.call("cancel", "ghost", "enough") == "gone"


def test_a_server_that_is_away_is_an_error_and_then_there_again(lab: Any, server: Any) -> None:
    lab.submit("r1")
    server.kill()
    with pytest.raises(redis.ConnectionError):
        lab.submit("r2")
    server.start()
    assert lab.submit("r2") == ["ok"]


# ── The wake line ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def wake(lab: Any) -> Iterator[WakeLine]:
    line = WakeLine(lab.client, lab.queue.wake_key("w"))
    yield line
    line.close()


def readable(line: Any, seconds: float = 5.0) -> bool:
    return bool(select.select([line.fileno()], [], [], seconds)[0])


def test_a_call_wakes_the_worker(lab: Any, wake: Any) -> None:
    wake.arm(5)
    assert not readable(wake, 0)
    lab.client.rpush(lab.queue.wake_key("w"), "work")
    assert readable(wake)
    assert wake.read() == "work"


def test_a_call_that_came_before_is_not_missed(lab: Any, wake: Any) -> None:
    lab.client.rpush(lab.queue.wake_key("w"), "cancel", "work")
    wake.arm(5)
    assert (readable(wake), wake.read()) == (True, "cancel")
    wake.arm(5)
    wake.arm(5)  # it is armed
    assert (readable(wake), wake.read()) == (True, "work")


def test_when_the_wait_runs_out_nobody_called(wake: Any) -> None:
    wake.arm(1)
    assert (readable(wake), wake.read()) == (True, None)


def test_a_lost_connection_is_an_error_and_the_next_wait_makes_a_new_one(lab: Any, wake: Any) -> None:
    wake.arm(5)
    [line] = [each for each in others(lab) if each["cmd"] == "blpop"]
    lab.client.client_kill_filter(_id=line["id"])
    assert readable(wake)
    with pytest.raises(redis.ConnectionError):
        wake.read()
    lab.client.rpush(lab.queue.wake_key("w"), "work")
    wake.arm(5)
    assert (readable(wake), wake.read()) == (True, "work")


def test_a_line_gone_dead_is_replaced(lab: Any, wake: Any, monkeypatch: Any) -> None:
    wake.arm(5)
    dead = wake.fileno()
    later = wake._answer_by + 1
    monkeypatch.setattr("scheduler.queue.wake.monotonic", lambda: later)
    wake.arm(5)
    lab.client.rpush(lab.queue.wake_key("w"), "work")
    assert (readable(wake), wake.read()) == (True, "work")
    assert dead >= 0


def test_a_line_that_cannot_be_armed_is_closed(lab: Any, wake: Any) -> None:
    wake.arm(1)
    readable(wake)
    wake.read()

    def refused(*_: Any) -> None:
        raise redis.ConnectionError

    connection = wake._connection
    connection.send_command = refused
    with pytest.raises(redis.ConnectionError):
        wake.arm(5)
    assert wake._connection is None
    del connection.send_command


# ── Signs of life ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_signs_of_nobody(lab: Any) -> None:
    assert read_signs(lab.queue, ["w"], lab.now) == (Leading(), {"w": Seen(0, None, 0)})


def test_signs_of_the_leader_and_of_workers(lab: Any) -> None:
    lab.queue.functions.call("elect", "me", 6000)
    lab.enroll("w1")
    lab.enroll("w2")
    lab.submit("r1")
    lab.take(1, "w1")
    lab.take(1, "w2")
    lab.pass_ms(2000)
    leading, seen = read_signs(lab.queue, ["w1", "w2"], lab.now)
    assert leading == Leading("me", 1, 4000)
    assert seen == {"w1": Seen(13_000, None, 1), "w2": Seen(13_000, 2000, 0)}
