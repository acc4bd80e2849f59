"""What goes wrong between the runner, the fork server and a child."""

import json
import selectors
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from scheduler.core.outcome import Kind, Outcome
from scheduler.core.ports import Job
from scheduler.worker.channels import Control
from scheduler.worker.forkserver import ForkServer
from scheduler.worker.process_slot import Ticket
from scheduler.worker.zygote import Zygote


@pytest.fixture
def pair() -> Iterator[tuple[Zygote, socket.socket]]:
    """A fork server in this process, and the runner's end of its connection."""
    ours, theirs = socket.socketpair()
    alarm, trigger = socket.socketpair()
    with ours, theirs, alarm, trigger:
        yield Zygote(theirs, alarm, {}, None), ours


def test_a_fork_that_fails_is_answered(pair: tuple[Zygote, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("os.fork", fork)
    zygote, runner = pair
    control, output = (part.detach() for part in socket.socketpair())
    zygote._fork(5, control, output)
    verb, slot, why = json.loads(runner.recv(1000))
    assert (verb, slot) == ("failed", 5)
    assert "Resource temporarily unavailable" in why


def test_a_runner_that_left_answers_unread_is_gone(pair: tuple[Zygote, socket.socket]) -> None:
    zygote, runner = pair
    zygote._send(["forked", 1, 2])
    runner.close()
    assert not zygote._receive()
    zygote._send(["exited", 1, 0, 0])  # into the void


def test_a_fork_that_failed_loses_the_run(make_bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_bench()
    bench.run("tame:nothing")
    receive = ForkServer.receive
    failed = [[["failed", 2, "cannot fork"]]]
    with monkeypatch.context() as patch:
        patch.setattr(ForkServer, "receive", lambda self: receive(self) and failed.pop() if failed else receive(self))
        outcome = bench.run("tame:nothing", fresh=True)
    assert (outcome.kind, outcome.error.message) == (Kind.LOST, "cannot fork")


def test_a_fork_server_that_cannot_be_asked_is_replaced(make_bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    bench = make_bench()
    bench.run("tame:nothing")
    with monkeypatch.context() as patch:
        patch.setattr(ForkServer, "fork", broken)
        assert bench.run("tame:nothing", fresh=True).kind is Kind.LOST
    assert bench.run("tame:nothing", fresh=True).kind is Kind.OK


def test_a_child_that_understands_nothing_ends_and_says_why(make_bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_bench()
    with monkeypatch.context() as patch:
        patch.setattr("scheduler.worker.processes.pack", lambda _: b"no json\n")
        outcome = bench.run("tame:nothing", run="garbled")
    assert (outcome.kind, outcome.error.message[:19]) == (Kind.CRASHED, "exited with code 70")
    assert b"JSONDecodeError" in bench.output["garbled"]


def test_what_comes_after_the_end_of_the_runner_is_handed_back(make_bench: Any) -> None:
    bench = make_bench()
    bench.runner.close()
    ended: list[Outcome] = []
    job = Job("r", "t", "tame:nothing", {}, 1, 1, None, None, None, False, {})
    bench.runner._requests.add(lambda: bench.runner.begin(Ticket(job, b"", ended.append, bench.runner)))
    assert [outcome.kind for outcome in ended] == [Kind.HANDED_BACK]
    bench.runner.request_stop(Ticket(job, b"", ended.append, bench.runner), Outcome(Kind.CANCELLED))
    assert len(ended) == 1


def test_frames_wait_until_the_other_end_reads_them() -> None:
    with selectors.DefaultSelector() as selector:
        control = Control(selector, print, print)
        frame = b"x" * 3_000_000
        control.send(frame)
        control.send(b"end")
        received = b""
        while not received.endswith(b"end"):
            received += control.theirs.recv(1 << 20)
            for key, mask in selector.select(0):
                key.data(mask)
        assert len(received) == 3_000_003
        assert not control.unread
        control.theirs.close()
        control.send(b"into the void")
        assert control.unread
        control.close()


def test_all_that_has_arrived_is_taken_before_the_end() -> None:
    messages: list[Any] = []
    ends: list[str] = []
    with selectors.DefaultSelector() as selector:
        control = Control(selector, messages.append, ends.append)
        control.theirs.sendall(b"".join(b"%d\n" % number for number in range(20_000)))
        control.drain()
        assert messages == list(range(20_000))
        control.theirs.close()
        control.drain()
        assert ends == [""]
        control.close()
