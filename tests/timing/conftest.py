"""A world whose time stands still unless a test moves it: the server's clock, and a monotonic clock for each instance."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from scheduler.core.events import Event
from scheduler.core.ids import fire_id
from scheduler.core.run import Submission
from scheduler.core.task import Schedule
from scheduler.queue import RunQueue, ScheduleBook
from scheduler.queue.events import EventReader
from scheduler.timing import Timer, Wiring
from scheduler.triggers import build_trigger, jitter_of, misses

START_MS = 1_800_000_000_000  # 2027-01-15 08:00 UTC
HOUR_MS = 3_600_000


def schedule(name: str = "tick", trigger: str = "interval", args: dict[str, Any] | None = None, **policy: Any) -> Schedule:
    return Schedule(name=name, task=f"{name}_task", trigger=trigger, args=args if args is not None else {"seconds": 1}, **policy)


def submission(of: Schedule, instant_ms: int) -> Submission:
    return Submission(id=fire_id(of.name, instant_ms), task=of.task, params=json.dumps(of.params) if of.params else "")


class LosesReplies:
    """A real store behind a bad line: while ``methods`` are named, they are carried out, but their replies get lost."""

    def __init__(self, book: ScheduleBook) -> None:
        self._book = book
        self.methods: set[str] = set()
        self.lost = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._book, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = method(*args, **kwargs)
            if name in self.methods:
                self.lost += 1
                raise ConnectionError(f"the reply of {name} was lost")
            return answer

        return call if callable(method) else method


class World:
    """One server and any number of timers."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.queue = RunQueue(client, "timing")
        self.queue.functions.now = START_MS
        self.book = ScheduleBook(self.queue)
        self.monotonic = 1000.0
        self.frozen: dict[str, float] = {}
        self.wiring = Wiring(lambda s: build_trigger(s.trigger, s.args, s.timezone), misses.due, jitter_of, submission)

    @property
    def now_ms(self) -> int:
        return int(self.queue.functions.now)

    def timer(self, instance: str = "a", *, wiring: Wiring | None = None, store: Any = None, lease_ms: int = 6000) -> Timer:
        store = store or ScheduleBook(self.queue)
        return Timer(store, instance, wiring or self.wiring, lease_ms=lease_ms, clock=lambda: self.monotonic)

    def bad_line(self) -> LosesReplies:
        return LosesReplies(ScheduleBook(self.queue))

    def save(self, *schedules: Schedule) -> None:
        self.book.save_schedules(schedules)

    def pass_ms(self, ms: int) -> None:
        """Time goes by, for everybody."""
        self.queue.functions.now = self.now_ms + ms
        self.monotonic += ms / 1000

    def step_clock(self, ms: int) -> None:
        """The server's clock jumps; nobody's monotonic clock does."""
        self.queue.functions.now = self.now_ms + ms

    def work(self, *timers: Timer) -> None:
        """Each timer steps until it has nothing more to do at this moment."""
        for timer in timers:
            for _ in range(100):
                if timer.step() > 0:
                    break

    def go(self, ms: int, *timers: Timer, tick_ms: int = 250) -> None:
        """Time goes by in ticks, and after each everybody works."""
        for _ in range(ms // tick_ms):
            self.pass_ms(tick_ms)
            self.work(*timers)

    def events(self, *kinds: str) -> list[Event]:
        found = EventReader(self.client, self.queue.prefix, start="0", count=100_000).read()
        return [event for event in found if not kinds or event.type in kinds]

    def runs(self) -> list[str]:
        """Ids of all Runs that were ever made, in that order; one made twice is twice in it."""
        return [event.subject for event in self.events("pending", "delayed")]

    def missed(self) -> list[tuple[str, str, int]]:
        """(schedule, reason, how many) of each note about instants that do not run."""
        return [(event.subject, event.reason, json.loads(event.detail)["count"]) for event in self.events("missed")]

    def expected(self, first_ms: int, last_ms: int, step_ms: int = 1000, name: str = "tick") -> list[str]:
        """The ids of an interval's Runs, both ends included."""
        return [fire_id(name, instant) for instant in range(first_ms, last_ms + 1, step_ms)]

    def finish(self, run_id: str) -> None:
        """As a worker's settlement would: the Run is over."""
        self.client.srem(f"{self.queue.prefix}active:{run_id.partition('@')[0]}", run_id)


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    return World(client)


@pytest.fixture
def make() -> Callable[..., Schedule]:
    """A Schedule with defaults: every second, named tick."""
    return schedule
