"""A queue whose clock stands still, a look at the whole state behind it, and a guard against keys that nobody declared."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from scheduler.core.ports import Enrolment, Free, Turn
from scheduler.core.run import Claim, Settlement, Submission
from scheduler.core.states import State
from scheduler.core.task import RateLimit, Task
from scheduler.queue import RunQueue
from scheduler.queue.events import EventReader
from scheduler.queue.keys import kind_of, prefix

NOW = 1_800_000_000_000  # 2027-01-15 08:00 UTC
LEASE_MS = 15_000
READERS = {
    "string": lambda client, key: client.get(key),
    "hash": lambda client, key: client.hgetall(key),
    "set": lambda client, key: client.smembers(key),
    "list": lambda client, key: client.lrange(key, 0, -1),
    "zset": lambda client, key: {member: int(score) for member, score in client.zrange(key, 0, -1, withscores=True)},
}


class Lab:
    """A RunQueue, its clock, and short words for what tests do with it."""

    NOW = NOW
    LEASE_MS = LEASE_MS

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.queue = RunQueue(client, "t")
        self.queue.functions.now = NOW
        self.turns = 0
        self.reader = EventReader(client, self.queue.prefix, start="0-0", count=10_000)

    @staticmethod
    def score(priority: int = 5, ms: int = NOW) -> int:
        """The place of a Run in its lane: strict priority first, then age."""
        return (10 - priority) * 10**13 + ms

    @property
    def now(self) -> int:
        return int(self.queue.functions.now)

    def pass_ms(self, ms: int) -> None:
        self.queue.functions.now = self.now + ms

    def submit(self, *ids: str, task: str = "a", **facts: Any) -> list[str]:
        return self.queue.submit([Submission(id=run, task=task, **facts) for run in ids])

    def enroll(self, worker: str = "w", tasks: str = "a", queues: str = "*") -> bool:
        return self.queue.enroll(Enrolment(worker, "host", 1, 4, queues.split(), tasks.split()), LEASE_MS)

    def define(self, name: str, *, limit: int | None = None, rates: tuple[tuple[int, int], ...] = (), **facts: Any) -> None:
        limits = tuple(RateLimit(*rate) for rate in rates)
        self.queue.define([Task(name=name, target="m:f", max_instances=limit, rate_limits=limits, **facts)])

    def turn(self, free: Free | int = 0, *settlements: Settlement, worker: str = "w", nonce: str = "") -> Turn:
        self.turns += 1
        return self.queue.turn(worker, nonce or str(self.turns), Free(free) if isinstance(free, int) else free, settlements)

    def claim(self, free: Free | int = 1, worker: str = "w") -> list[Claim]:
        return self.turn(free, worker=worker).claims

    def take(self, free: Free | int = 1, worker: str = "w") -> list[str]:
        return [claim.id for claim in self.claim(free, worker)]

    def settle(self, run: str, state: State = State.SUCCEEDED, token: int = 1, worker: str = "w", **facts: Any) -> str:
        return self.turn(0, Settlement(run, token, state, **facts), worker=worker).answers[0]

    def sweep(self, *, expected_ms: int | None = None, most: int = 200) -> Any:
        return self.queue.sweep(expected_ms=expected_ms, longest_lease_ms=LEASE_MS, most=most)

    def record(self, run: str) -> dict[str, str]:
        return self.client.hgetall(self.key(f"r:{run}"))

    def key(self, name: str) -> str:
        return self.queue.prefix + name

    def events(self) -> list[tuple[str, ...]]:
        """What has happened since the last look: (type, subject, token, worker, reason)."""
        return [(e.type, e.subject, str(e.token), e.worker, e.reason) for e in self.reader.read()]

    def state(self) -> dict[str, Any]:
        """Every key but the stream, as plain values."""
        found = {}
        for key in self.client.scan_iter(f"{self.queue.prefix}*", count=1000):
            kind = self.client.type(key)
            if kind != "stream":
                found[key.removeprefix(self.queue.prefix)] = READERS[kind](self.client, key)
        return found

    def changes(self, before: dict[str, Any]) -> dict[str, Any]:
        """What is other than before; None for a key that has gone. What is not in it has not changed."""
        after = self.state()
        return {key: after.get(key) for key in before | after if before.get(key) != after.get(key)}


@pytest.fixture(scope="session", params=["bundled", *filter(shutil.which, ["redis-server"])])
def server(server: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Each verb is tried on the bundled server, and on the system's where there is one."""
    if request.param == "bundled":
        yield server
        return
    with tempfile.TemporaryDirectory(prefix="sc") as directory:
        other = type(server)(Path(directory), binary=shutil.which(request.param))
        other.start()
        yield other
        other.kill()


@pytest.fixture
def lab(client: redis.Redis) -> Lab:
    return Lab(client)


def undeclared(client: redis.Redis) -> list[str]:
    """Keys that ``keys.py`` does not know, or whose type is not the declared one."""
    found = []
    for key in client.scan_iter("*", count=1000):
        kind = kind_of(key.removeprefix(prefix("t")))
        if kind != "any" and kind != client.type(key):
            found.append(f"{key} ({client.type(key)}, declared: {kind or 'nothing'})")
    return found


@pytest.fixture(autouse=True)
def _only_declared_keys(client: redis.Redis) -> Iterator[None]:
    yield
    assert undeclared(client) == []
