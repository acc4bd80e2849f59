"""The judge of every fault run: reads the whole story back (events, records, places, effects) and names what must never be."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from fnmatch import fnmatchcase

from scheduler.core.events import Event
from scheduler.core.ids import fire_instant
from scheduler.core.states import TERMINAL
from scheduler.queue import EventReader, RunQueue
from scheduler.queue.keys import PATTERNS
from tests.faults.effects import Effect, starts

RETURNED = {"pending", "delayed"}
AGAIN = {"lost", "shutdown", "error", "timed_out", "crashed", "oom", "gpu_busy", "not_ready"}  # reasons for which a Run may run once more


class History:
    """All that happened in one centre. The numbers of the invariants are those of the fault matrix."""

    def __init__(self, queue: RunQueue, effects: Collection[Effect]) -> None:
        self.queue = queue
        self.effects = effects
        self.events = list(_all_events(queue))
        self.runs: dict[str, list[Event]] = defaultdict(list)
        for event in self.events:
            if event.type in {*RETURNED, "running", *TERMINAL} and '"instant"' not in event.detail:  # else it tells of a schedule
                self.runs[event.subject].append(event)

    def check(self, submitted: Collection[str] = ()) -> None:
        """Raises with everything that is wrong."""
        problems = [
            *self._each_ends_once(submitted),
            *self._tokens_grow(),
            *self._effects_once_per_token(),
            *self._effects_again_only_for_a_reason(),
            *self._keys_are_known(),
            *self._places_match_states(),
        ]
        assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems[:40])

    def ended(self) -> Counter[str]:
        """How many Runs ended in each state."""
        return Counter(event.type for event in self.events if event.type in TERMINAL)

    def lost(self) -> list[Event]:
        """The returns of Runs whose worker was lost."""
        return [event for event in self.events if event.reason == "lost"]

    def repeated(self) -> set[str]:
        """Runs whose code began more than once."""
        return {run for run, tokens in starts(self.effects).items() if len(tokens) > 1}

    def fired(self, schedule: str) -> list[int]:
        """The instants of a schedule that became Runs, in the order in which that happened; twice where it happened twice."""
        return [
            fire_instant(e.subject) or 0
            for e in self.events
            if e.subject.startswith(f"{schedule}@") and e.token == 0 and e.type in RETURNED and e.reason in {"", "scheduled"}
        ]

    def _each_ends_once(self, submitted: Iterable[str]) -> Iterator[str]:  # I1, I2
        for run in {*submitted, *self.runs}:
            ends = [event.type for event in self.runs[run] if event.type in TERMINAL]
            record = self.queue.get(run)
            if len(ends) != 1:
                yield f"I1 {run} ended {len(ends)} times {ends}; its record says {record and record.state}"
            elif record is not None and record.state != ends[0]:
                yield f"I1 {run} ended as {ends[0]}, its record says {record.state}"

    def _tokens_grow(self) -> Iterator[str]:  # I3
        for run, events in self.runs.items():
            tokens = [event.token for event in events if event.type == "running"]
            if tokens != list(range(1, len(tokens) + 1)):
                yield f"I3 {run} was claimed with the tokens {tokens}"
            last = [event.token for event in events if event.type in TERMINAL]
            if last and last[-1] != (tokens[-1] if tokens else 0):
                yield f"I3 {run} ended with token {last[-1]}, claimed with {tokens}"

    def _effects_once_per_token(self) -> Iterator[str]:  # I4
        claimed = {(event.subject, event.token) for event in self.events if event.type == "running"}
        begun = Counter((effect.run, effect.token) for effect in self.effects if effect.phase == "start")
        for claim, count in begun.items():
            if count > 1:
                yield f"I4 {claim} began {count} times under one claim"
            if claim not in claimed:
                yield f"I4 {claim} began without a claim"

    def _effects_again_only_for_a_reason(self) -> Iterator[str]:  # I4
        for run in self.repeated():
            reasons = {event.reason for event in self.runs[run] if event.type in RETURNED and event.token}
            if not reasons & AGAIN:
                yield f"I4 {run} began more than once, its events name no reason: {reasons}"

    def _keys_are_known(self) -> Iterator[str]:  # I6
        patterns = [self.queue.prefix + pattern for pattern in PATTERNS]
        for key in self.queue.client.scan_iter(count=1000):
            name = key.replace("[", "(").replace("]", ")")
            if not any(fnmatchcase(name, pattern) for pattern in patterns):
                yield f"I6 unknown key {key}"

    def _places_match_states(self) -> Iterator[str]:  # I7
        p, client = self.queue.prefix, self.queue.client
        records = {key.removeprefix(f"{p}r:"): client.hgetall(key) for key in client.scan_iter(f"{p}r:*", count=1000)}
        places = {
            "pending": [run for lane in client.scan_iter(f"{p}lane:*") for run in client.zrange(lane, 0, -1)],
            "running": [run for own in client.scan_iter(f"{p}own:*") for run in client.smembers(own)],
            "delayed": client.zrange(f"{p}delayed", 0, -1),
        }
        for state, found in places.items():
            wanted = sorted(run for run, record in records.items() if record["state"] == state)
            if sorted(found) != wanted:
                yield f"I7 {state}: the records say {wanted[:9]}, the places {sorted(found)[:9]}"
        unfinished = {run for run, record in records.items() if record["state"] not in TERMINAL}
        for key in [*client.scan_iter(f"{p}busy:*"), *client.scan_iter(f"{p}active:*"), *client.scan_iter(f"{p}cancels:*")]:
            if forgotten := set(client.smembers(key)) - unfinished:
                yield f"I7 {key} still names {sorted(forgotten)[:9]}"


def _all_events(queue: RunQueue) -> Iterator[Event]:
    reader = EventReader(queue.client, queue.prefix, start="0-0", count=1000)
    while events := reader.read():
        yield from events
