"""Triggers made of triggers: any of them, or all of them at the same instant."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import groupby

from scheduler.triggers.trigger import BuiltTrigger, Source

_MAX_QUESTIONS = 6_000  # to single triggers, in one search for a common instant: some ten microseconds each


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
