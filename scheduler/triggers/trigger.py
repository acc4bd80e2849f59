"""A trigger as ``build_trigger`` gives it: where its instants come from, alone or combined, and what others need to know of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from heapq import merge
from itertools import groupby, islice, takewhile

from scheduler.core.ports import Trigger

_MAX_QUESTIONS = 6_000  # to single triggers, in one search for a common instant: some ten microseconds each


class Source:
    """Where instants come from. Each kind gives ``next`` or, where instants in a row are cheaper, ``instants``: the other follows."""

    __slots__ = ()

    def next(self, after_ms: int) -> int | None:
        return next(self.instants(after_ms), None)

    def instants(self, after_ms: int) -> Iterator[int]:
        """All instants strictly after ``after_ms``, increasing."""
        return walk(self, after_ms)


@dataclass(frozen=True, slots=True)
class BuiltTrigger:
    """The instants of ``source`` from ``start_ms`` to ``end_ms``, both included.

    ``max_runs`` is counted by whoever fires (None: no bound). ``jitter_ms`` delays the Run, never the instant that names
    the fire: see ``jitter_of``.
    """

    source: Source
    start_ms: int
    end_ms: int
    jitter_ms: int = 0
    max_runs: int | None = None

    def next(self, after_ms: int) -> int | None:
        instant = self.source.next(max(after_ms, self.start_ms - 1))
        return instant if instant is not None and instant <= self.end_ms else None

    def instants(self, after_ms: int) -> Iterator[int]:
        return takewhile(lambda instant: instant <= self.end_ms, self.source.instants(max(after_ms, self.start_ms - 1)))


@dataclass(frozen=True, slots=True)
class AnyOf(Source):
    """Fires when one or more of ``triggers`` do."""

    triggers: Sequence[BuiltTrigger]

    def instants(self, after_ms: int) -> Iterator[int]:
        return (instant for instant, _ in groupby(merge(*(each.instants(after_ms) for each in self.triggers))))


@dataclass(frozen=True, slots=True)
class AllOf(Source):
    """Fires at the instants that all ``triggers`` share. Each leap goes to the latest of their next ones: the rarest sets the pace."""

    triggers: Sequence[BuiltTrigger]

    def next(self, after_ms: int) -> int | None:
        candidate = after_ms + 1
        for _ in range(_MAX_QUESTIONS // self._size()):
            found = [each.next(candidate - 1) for each in self.triggers]
            known = [instant for instant in found if instant is not None]
            if len(known) < len(found):
                return None
            candidate = max(known)
            if candidate == min(known):
                return candidate
        return None

    def _size(self) -> int:
        return sum(len(each.source.triggers) if isinstance(each.source, AnyOf) else 1 for each in self.triggers)


def walk(trigger: Trigger, after_ms: int) -> Iterator[int]:
    """The instants of any trigger, one ``next`` at a time."""
    while (instant := trigger.next(after_ms)) is not None:
        yield instant
        after_ms = instant


def instants_after(trigger: Trigger, after_ms: int) -> Iterator[int]:
    """The instants of any trigger, in the cheapest way it offers."""
    return trigger.instants(after_ms) if isinstance(trigger, BuiltTrigger) else walk(trigger, after_ms)


def next_fires(trigger: Trigger, after_ms: int, n: int) -> list[int]:
    """The first ``n`` instants after ``after_ms``, or as many as there are: what previews show."""
    return list(islice(instants_after(trigger, after_ms), n))


def jitter_of(name: str, instant_ms: int, jitter_ms: int) -> int:
    """The delay, 0 to ``jitter_ms``, of one fire: the same on every instance, evenly spread over schedules and instants."""
    digest = blake2b(f"{name}\0{instant_ms}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % (jitter_ms + 1)
