"""What goes wrong between the runner, the fork server and a child."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest

from scheduler.core.outcome import Kind, Outcome
from scheduler.worker.forkserver import ForkServer
from scheduler.worker.wire import pack
from scheduler.worker.zygote import Zygote


@pytest.fixture
def pair() -> Iterator[tuple[Zygote, socket.socket]]:
    """A fork server in this process, and the runner's end of its line."""
    ours, theirs = socket.socketpair()
    alarm, trigger = socket.socketpair()
    with ours, theirs, alarm, trigger:
        yield Zygote(theirs, alarm, lambda: print), ours


@pytest.fixture
def fork_request(pair: tuple[Zygote, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the runner sends to have a child, when the system has no more processes."""

    def fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("os.fork", fork)
    read, write = os.pipe()
    socket.send_fds(pair[1], [pack(["fork"])], [read, write, write])
    os.close(read)
    os.close(write)


@pytest.mark.usefixtures("fork_request")
def test_a_fork_that_fails_is_answered(pair: tuple[Zygote, socket.socket]) -> None:
    zygote, runner = pair
    files = psutil.Process().num_fds()
    assert zygote._obey()
    assert "Resource temporarily unavailable" in json.loads(runner.recv(1000))
    assert psutil.Process().num_fds() == files


@pytest.mark.usefixtures("fork_request")
def test_a_runner_that_does_not_wait_for_the_answer_is_gone(pair: tuple[Zygote, socket.socket]) -> None:
    zygote, runner = pair
    runner.close()
    assert not zygote._obey()


def test_a_runner_that_left_answers_unread_is_gone(pair: tuple[Zygote, socket.socket]) -> None:
    zygote, runner = pair
    zygote._line.sendall(b"1\n")
    runner.close()
    assert not zygote._obey()


def test_a_fork_that_failed_loses_the_run(make_bench: Any) -> None:
    outcome = make_bench(prepare="plain_resolver:forbid_forks").run("tame:nothing")
    assert (outcome.kind, outcome.error.type) == (Kind.LOST, "ProcessLost")
    assert outcome.error.message.endswith("cannot fork: [Errno 11] Resource temporarily unavailable")


def test_a_fork_server_that_cannot_be_asked_is_replaced(make_bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    bench = make_bench()
    bench.run("tame:nothing")
    with monkeypatch.context() as patch:
        patch.setattr(ForkServer, "fork", broken)
        assert bench.run("tame:nothing", fresh=True).kind is Kind.LOST
    assert bench.run("tame:nothing", fresh=True).kind is Kind.OK


def test_a_fork_server_that_has_died_costs_no_run_that_comes_later(make_bench: Any, is_alive: Any, wait_until: Any) -> None:
    bench = make_bench()
    for fresh in (False, True):  # the warm child has died with it; nobody has looked
        bench.run("tame:nothing")
        server = bench.server
        server.kill()
        wait_until(lambda server=server: not is_alive(server.pid))
        assert bench.run("tame:nothing", fresh=fresh).kind is Kind.OK


def test_a_child_that_understands_nothing_ends_and_says_why(make_bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_bench()
    with monkeypatch.context() as patch:
        patch.setattr("scheduler.worker.process_slot.pack", lambda _: b"no json\n")
        outcome = bench.run("tame:nothing", run="garbled")
    assert (outcome.kind, outcome.error.message[:19]) == (Kind.CRASHED, "exited with code 70")
    assert b"JSONDecodeError" in bench.output["garbled"]


def test_what_was_let_in_ends_although_the_runner_closes(make_bench: Any, wait_until: Any) -> None:
    bench = make_bench()
    started: list[Any] = []

    def start() -> None:
        with suppress(RuntimeError):
            while True:
                started.append(bench.start("tame:nothing"))
                started[-1].outcome()

    threads = [threading.Thread(target=start) for _ in range(4)]
    [thread.start() for thread in threads]
    wait_until(lambda: len(started) > 20)
    bench.runner.close()
    [thread.join() for thread in threads]
    assert {one.outcome().kind for one in started} <= {Kind.OK, Kind.HANDED_BACK}
    started[0].handle.stop(Outcome(Kind.CANCELLED))
    assert len(started[0].outcomes) == 1


def test_all_that_a_child_said_before_its_end_is_taken(bench: Any) -> None:
    outcome = bench.run("hostile:say_much_and_die", {"count": 20_000}, run="talker")
    assert outcome.error.message.startswith("exited with code 3")
    assert bench.progress["talker"] == [(number, "") for number in range(20_000)]
