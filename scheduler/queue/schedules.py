"""ScheduleBook: schedules in Redis, the leader's lock, and the door through which a fire becomes a Run."""

import json
from collections.abc import Sequence
from typing import Any

from scheduler.core.ports import FiredState, Leadership
from scheduler.core.run import Fire
from scheduler.core.task import Schedule
from scheduler.queue.records import fire_args, fired_state
from scheduler.queue.runqueue import RunQueue


class ScheduleBook:
    """The store side of the timer (``core.ports.ScheduleStore``)."""

    def __init__(self, queue: RunQueue) -> None:
        self._queue = queue
        self._call = queue.functions.call
        self._client = queue.client
        self._prefix = queue.prefix

    def elect(self, instance: str, lease_ms: int) -> Leadership:
        epoch, now, leader = self._call("elect", instance, lease_ms)
        return Leadership(int(epoch), lease_ms, int(now), leader)

    def resign(self, instance: str) -> None:
        self._call("resign", instance)

    def leader(self) -> tuple[str, int]:
        """(instance, epoch) of whoever led last; ("", 0) before the first election."""
        instance, epoch = self._client.hmget(f"{self._prefix}lead", ["id", "epoch"])
        return instance or "", int(epoch or 0)

    def load_schedules(self) -> dict[str, tuple[Schedule, FiredState]]:
        definitions = self._client.hgetall(f"{self._prefix}schedules")
        fired = self._client.hgetall(f"{self._prefix}fired")
        return {name: (Schedule.from_dict(json.loads(text)), fired_state(fired.get(name))) for name, text in definitions.items()}

    def save_schedules(self, schedules: Sequence[Schedule]) -> None:
        for start in range(0, len(schedules), 1000):
            chunk = schedules[start : start + 1000]
            self._client.hset(f"{self._prefix}schedules", mapping={s.name: json.dumps(s.to_dict()) for s in chunk})
        self._changed()

    def remove_schedules(self, names: Sequence[str]) -> None:
        for start in range(0, len(names), 1000):
            chunk = names[start : start + 1000]
            self._client.hdel(f"{self._prefix}schedules", *chunk)
            self._client.hdel(f"{self._prefix}fired", *chunk)
        self._changed()

    def paused_schedules(self) -> set[str]:
        return self._queue.paused("schedule")

    def generation(self) -> int:
        value = self._client.hget(f"{self._prefix}meta", "generation")
        return int(value or 0)

    def fire(self, epoch: int, fires: Sequence[Fire]) -> list[str]:
        args: list[Any] = []
        for fire in fires:
            args.extend(fire_args(fire))
        answers: list[str] = self._call("fire", epoch, *args)
        return answers * len(fires) if answers == ["stale"] else answers

    def now_ms(self) -> int:
        seconds, micros = self._client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def _changed(self) -> None:
        self._client.hincrby(f"{self._prefix}meta", "generation", 1)
