"""ScheduleBook: schedules in Redis, the leader's lock, and the door through which a fire becomes a Run."""

import json
import logging
from collections.abc import Mapping, Sequence
from sys import intern
from typing import Any

from scheduler.core.ports import FiredState, Leadership
from scheduler.core.run import Fire
from scheduler.core.task import Schedule
from scheduler.queue.records import fire_args, fired_state, number
from scheduler.queue.runqueue import RunQueue

_CHUNK = 200  # schedules per call
_SCAN = 1000  # hash fields per round trip: the server answers others in between
_log = logging.getLogger(__name__)


class ScheduleBook:
    """The store side of the timer (``core.ports.ScheduleStore``)."""

    def __init__(self, queue: RunQueue) -> None:
        self._queue = queue
        self._call = queue.functions.call
        self._client = queue.client
        self._prefix = queue.prefix
        self._known: Mapping[str, tuple[int, Schedule]] = {}

    def elect(self, instance: str, lease_ms: int) -> Leadership:
        epoch, now, leader, silent = self._call("elect", instance, lease_ms)
        return Leadership(int(epoch), lease_ms, int(now), leader, int(silent))

    def resign(self, instance: str) -> None:
        self._call("resign", instance)

    def leader(self) -> tuple[str, int]:
        """(instance, epoch) of whoever led last; ("", 0) before the first election."""
        instance, epoch = self._client.hmget(f"{self._prefix}lead", ["id", "epoch"])
        return instance or "", number(epoch)

    def load_schedules(self) -> dict[str, tuple[Schedule, FiredState]]:
        """All schedules; a definition that cannot be read stays in the store, but is not among them: the log says why."""
        now, fired = self.now_ms(), dict(self._client.hscan_iter(f"{self._prefix}fired", count=_SCAN))
        known = {}
        for name, text in self._client.hscan_iter(f"{self._prefix}schedules", count=_SCAN):
            parsed = self._parse(name, text)
            if parsed:
                known[name] = parsed
        self._known = known
        return {name: (schedule, fired_state(fired.get(name), now)) for name, (_, schedule) in known.items()}

    def _parse(self, name: str, text: str) -> tuple[int, Schedule] | None:
        """The definition and the hash of its text; the very same object as long as the text has not changed."""
        digest = hash(text)
        earlier = self._known.get(name)
        if earlier and earlier[0] == digest:
            return earlier
        try:
            return digest, _schedule(name, json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            _log.warning("schedule %s: its definition in the store cannot be read and is left alone: %s", name, error)
            return None

    def get_schedule(self, name: str) -> Schedule | None:
        text = self._client.hget(f"{self._prefix}schedules", name)
        parsed = self._parse(name, text) if text else None
        return parsed[1] if parsed else None

    def save_schedules(self, schedules: Sequence[Schedule]) -> None:
        for start in range(0, len(schedules), _CHUNK):
            chunk = schedules[start : start + _CHUNK]
            texts = self._client.hmget(f"{self._prefix}schedules", [schedule.name for schedule in chunk])
            args: list[Any] = []
            for schedule, text in zip(chunk, texts, strict=True):
                definition = schedule.to_dict()
                args += [schedule.name, json.dumps(definition), int(_fires_anew(definition, text))]
            self._call("schedule", *args)

    def remove_schedules(self, names: Sequence[str]) -> None:
        for start in range(0, len(names), _CHUNK):
            self._call("unschedule", *names[start : start + _CHUNK])

    def paused_schedules(self) -> set[str]:
        return self._queue.paused("schedule")

    def pause_schedule(self, name: str, *, on: bool = True) -> bool:
        return self._queue.pause("schedule", name, on=on)

    def generation(self) -> int:
        return number(self._client.hget(f"{self._prefix}meta", "generation"))

    def fire(self, epoch: int, fires: Sequence[Fire]) -> list[str]:
        args: list[Any] = []
        for fire in fires:
            args.extend(fire_args(fire))
        answers: list[str] = self._call("fire", epoch, *args)
        return answers * len(fires) if answers == ["stale"] else answers

    def now_ms(self) -> int:
        if self._queue.functions.now != "":
            return int(self._queue.functions.now)
        seconds, micros = self._client.time()
        return int(seconds) * 1000 + int(micros) // 1000


def _schedule(name: str, data: dict[str, Any]) -> Schedule:
    """The definition; what many of them have in common is in memory once."""
    for key in ("task", "trigger", "timezone", "misfire", "overlap", "source"):
        data[key] = intern(data[key])
    for key in ("args", "params"):
        data[key] = {intern(argument): value for argument, value in data[key].items()}
    return Schedule.from_dict(data | {"name": name})


def _fires_anew(definition: Mapping[str, Any], earlier: str | None) -> bool:
    """Whether it is new, or its instants are others than those of its earlier definition."""
    try:
        return earlier is None or _timing(definition) != _timing(json.loads(earlier))
    except (ValueError, KeyError, TypeError):  # what cannot be read is replaced as a whole
        return True


def _timing(definition: Mapping[str, Any]) -> str:
    return json.dumps([definition[key] for key in ("trigger", "args", "timezone")], sort_keys=True)
